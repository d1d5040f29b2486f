listener "tls" { address = "127.0.0.1:443" }
route "a.test" {
  endpoints = ["127.0.0.1:1",
  balance = "random"
}
route "b.test" {
  endpoints = ["127.0.0.1:1"]
