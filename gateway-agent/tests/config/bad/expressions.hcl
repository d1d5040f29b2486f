datacenter = var.datacenter
listener "tls" {
  address = "${env.HOST}:443"
  refuse  = upper("alert")
}
route "a.test" {
  endpoints = [local.endpoint, "127.0.0.1:1"]
  balance   = "round" + "robin"
  service   = <<EOT
text
EOT
}
limits { backlog = 1 + 2 }
