// Package server is the CA's gRPC edge: istio.v1.auth.IstioCertificateService,
// the RPC by which Istio's agents and Ensign's ask for certificates.
//
// It does not decide who calls. An interceptor puts the proven
// [identity.Caller] into the context; without one every call is Unauthenticated.
//
// The answer's cert_chain holds the leaf, then the issuers, one an element, and
// in its last element all roots behind one another, since that element is what
// Istio's agents come to trust.
//
//	metrics := server.NewMetrics(registry)
//	service, err := ca.New(ctx, ca.Config{…, Observe: metrics.ObserveStage})
//	edge, err := server.New(server.Config{Issuer: service, Metrics: metrics, Logger: log})
//	edge.Register(grpcServer)
//
// Beyond a number of calls at work, further ones are shed at once with
// ResourceExhausted and the time after which to try again. So are those of an
// identity that asks for more than its [Limits], before they can crowd out others;
// that is an alert as well, see [Server.Surges]. Renewals that a rotation asked for
// ([Awaited]) do not count: one for each SVID, and when it comes to nothing another one
// after a pause, which doubles each time.
package server
