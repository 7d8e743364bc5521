// Package kube runs the API server of a real Kubernetes for a test, with an etcd of its
// own, on ports of 127.0.0.1 and in a temporary folder: no nodes, no controllers.
//
//	k := kube.Start(t)                                    // up in some seconds, gone after the test
//	k.NewAccount(t, "istio-system", "ensignd")            // the namespace too, if need be
//	token := k.Token(t, "istio-system", "ensignd", "vault") // by TokenRequest, for an audience
//	k.Ask(t, http.MethodPost, "/api/v1/namespaces", namespace, nil) // anything else, as administrator
//
// Objects go as JSON, with the types of k8s.io/api: no client is needed for that.
// Since there are no controllers, nobody makes the account "default" of a namespace, and
// nobody deletes what belongs to a deleted object.
package kube
