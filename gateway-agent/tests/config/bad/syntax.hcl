listener "tls" {
  address = "127.0.0.1:443
  refuse = alert
}
route "a.test" {
  endpoints ["127.0.0.1:1"]
  balance =
}
route "b.test" { endpoints = ["127.0.0.1:1" "127.0.0.1:2"] }
route web.test { endpoints = ["127.0.0.1:1"] }
route "c.test" { service = "\q"  endpoints = ["127.0.0.1:1"] }
limits { backlog = 10.0.0.1 }
}
/* no end
