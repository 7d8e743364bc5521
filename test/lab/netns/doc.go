// Package netns plays the node under the lab's mesh: each pod is a network
// namespace with one veth to a bridge, and the bridge has a namespace of its
// own, so nothing of the host's network is touched or needed.
//
//	net, err := netns.Open(ctx, netns.Config{})
//	defer net.Close()
//	shop, err := net.Add(ctx, "shop")
//	err = shop.Capture(ctx)             // packet rules, listed back and probed
//	p, err := shop.Start(netns.Spec{Name: "app", UID: 1000, Argv: []string{"/bin/app"}})
//	conn, err := shop.Dial(ctx, "tcp", "10.96.0.1:80") // as an app inside would
//
// Everything of one network is named ensign-ID-… . Close removes it. A guard, a
// small shell process that waits for the owner's death, removes it when the
// owner is killed or panics; Sweep removes what even the guard could not.
package netns
