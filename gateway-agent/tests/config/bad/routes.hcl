listener "tls" { address = "127.0.0.1:443" }
route "web.test" { endpoints = [] }
route "Web.test." { endpoints = ["127.0.0.1:1"] }
route "*" { endpoints = ["127.0.0.1:1"] }
route "a.*.test" { endpoints = ["127.0.0.1:1"] }
route "*.*.test" { endpoints = ["127.0.0.1:1"] }
route "*a.test" { endpoints = ["127.0.0.1:1"] }
route "10.0.0.1" { endpoints = ["127.0.0.1:1"] }
route "bücher.test" { endpoints = ["127.0.0.1:1"] }
route "a..test" { endpoints = ["127.0.0.1:1"] }
route "" { endpoints = ["127.0.0.1:1"] }
route "none.test" { }
