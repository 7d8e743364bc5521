package identity

// Directory says which accounts and pods exist now. Authenticators ask it at
// every request, so that a deleted account or pod ends its proofs at once.
type Directory interface {
	// Account is the UID of a service account; ok is false if there is none.
	Account(namespace, name string) (uid string, ok bool)
	// Pod is what is known of a pod; ok is false if there is none.
	Pod(namespace, name string) (pod Pod, ok bool)
}

// Pod is what a proof can be bound to.
type Pod struct {
	// UID tells a pod from an earlier one of the same name.
	UID string
	// Account is the name of the service account, in the pod's namespace, that it runs as.
	Account string
	// Node is the name of the node it runs on; "" if unknown.
	Node string
}
