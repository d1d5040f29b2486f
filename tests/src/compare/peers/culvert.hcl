instance = "@INSTANCE@"

listener "tls" { address = ["0.0.0.0:@PORT@", "[::]:@PORT@"] }

engine { prefer = ["@ENGINE@"] }

steer { mode = "off" }

admin { socket = "@HOME@/control.sock" }

# The peers write no access log either.
log {
  level  = "warn"
  access = "off"
}

@NAMES@
