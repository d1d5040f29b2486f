listner "tls" { address = "127.0.0.1:1" }
listener "tls" { adress = "127.0.0.1:1"  refuse = "alrt" }
route "a.test" { endpoints = ["127.0.0.1:2"]  ballance = "random" }
limits { hello_timout = "5s" }
quux = 1
