listener { address = "127.0.0.1:443" }
listener "a" "b" { address = "127.0.0.1:443" }
route = "web.test"
limits = 5
limits "x" { }
default { }
default { action = "reject"  route = "a.test" }
datacenter = "a"
datacenter = "b"
