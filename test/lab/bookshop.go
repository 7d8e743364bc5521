package lab

// BookURL is the request that goes through reader, storefront, reviews, ratings
// and catalog: every sidecar of the bookshop.
const BookURL = "http://storefront.shop:9080/books/1"

// Bookshop is the pods of examples/bookshop/manifests, a reader in the mesh and
// an outsider that is not.
func Bookshop() []PodSpec {
	return []PodSpec{
		{Name: "reader", Namespace: "shop", Account: "reader", Labels: map[string]string{"app": "reader"}, Sidecar: true},
		bookshopPod("storefront", "shop", "storefront", "v1",
			"--call", "http://catalog.stock:9080/books/{id}", "--call", "http://reviews:9080/reviews/{id}"),
		bookshopPod("reviews-v1", "shop", "reviews", "v1", "--call", "http://ratings.stock:9080/ratings/{id}"),
		bookshopPod("reviews-v2", "shop", "reviews", "v2", "--call", "http://ratings.stock:9080/ratings/{id}"),
		bookshopPod("catalog", "stock", "catalog", "v1"),
		bookshopPod("ratings", "stock", "ratings", "v1"),
		{Name: "outsider"},
	}
}

// bookshopPod is one pod of a service that answers on 9080, its account named
// after the service.
func bookshopPod(pod, namespace, service, version string, args ...string) PodSpec {
	return PodSpec{
		Name: pod, Namespace: namespace, Account: service, Sidecar: true, Port: 9080,
		Labels: map[string]string{"app": service, "version": version},
		App:    append([]string{"bookshop", "serve", "--service", service, "--version", version, "--listen", ":9080"}, args...),
	}
}
