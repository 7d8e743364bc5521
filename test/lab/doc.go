// Package lab is a whole mesh on this machine, for the demo and for tests:
// ensignd, and pods that are network namespaces with captured traffic, each
// with its ensign-agent, a real Envoy and an app.
//
//	l, err := lab.Open(ctx, lab.Config{Bin: "bin", Envoy: path, Manifests: "examples/bookshop/manifests"})
//	defer l.Close()
//	err = l.AddPods(ctx, lab.Bookshop()...)
//	report, err := l.Pod("reader").Load(ctx, load.Plan{URL: "http://storefront.shop:9080/books/1", Count: 100})
//
// People's part of the YAML (namespaces, accounts, services, policies, routes)
// is copied from a folder and changed with Apply. The lab plays what a cluster
// would do: it gives pods their addresses, tokens and names, and writes Pods and
// the EndpointSlices that the services' selectors ask for.
package lab
