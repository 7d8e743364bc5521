// Package bench measures what configuration costs the control plane: 1,000
// services in 20 namespaces, 2 to 5 endpoints each, strict mTLS, and 200
// simulated Envoys in a second process, each with its own identity, over TLS.
//
// For the first configuration, for one endpoint, one service, one route and one
// policy changed, and for a reconnect with nothing changed it reports, per
// stream, the CPU time of the serving process (getrusage, user and system; what
// the mesh builder and the resource builders take is in it) and the bytes of the
// responses as gRPC frames them, and the time until the last acknowledgement.
//
//	go test -run '^$' -bench . ./test/bench
//
// The fleet acts as Envoy does: clusters first, then the endpoints that they
// name, listeners, the routes and filters that those name, and all virtual hosts;
// it acknowledges everything and brings its versions when it comes back.
//
// BenchmarkRotation replaces the root of a whole ensignd, in a process of its own,
// under 1,000 and 10,000 simulated agents; the fleet also sees whether a gate passes
// early. BenchmarkRotationOfEnvoys and BenchmarkRevoke have 20 real Envoys, and need
// root and the built programs; they take one round each with -benchtime 1x.
package bench
