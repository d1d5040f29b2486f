listener "tls" { address = "127.0.0.1:443" }
route "a.test" {
  endpoints = [
    "127.0.0.1",
    "127.0.0.1:0",
    "127.0.0.300:443",
    "10.1:443",
    "0x7f.1:443",
    "fd00::2:443",
    "[fd00::2]",
    "0.0.0.0:443",
    "shop internal:443",
    "shop.internal:+443",
    { weight = 2 },
    { address = "127.0.0.1:1", weight = 0 },
    { address = "127.0.0.1:2", wieght = 3 },
    "127.0.0.1:3",
    "127.0.0.1:3",
    443,
  ]
  source_addresses = ["127.0.0.1", "127.0.0.2", "::", "eth0"]
}
