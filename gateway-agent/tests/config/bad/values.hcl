instance = "Über"
listener "tls" {
  address = ["127.0.0.1", "127.0.0.1:0", "[::ffff:127.0.0.1]:443", 443]
  accept_proxy = { required = "yes" }
}
limits {
  hello_timeout = "5"
  hello_size = "1GiB"
  connect_attempts = 0
  attempt_delay = "1ms"
  idle_timeout = 3600
  keepalive = "100000s"
  backlog = 1.5
}
health { panic_percent = 101  ejection_time = "10m" }
dns { servers = "127.0.0.1"  min_ttl = "2h" }
engine { prefer = ["cpoy", "copy", "copy"] }
steer { bpffs = "sys/fs/bpf" }
admin { socket = "culvert.sock" metrics = "localhost:9102" }
log { level = "loud"  access = true }
