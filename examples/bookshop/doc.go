// Command bookshop is the sample that the demo and the tests run: four small
// services in one program, and the client that calls them.
//
//	bookshop serve --service reviews --version v2 --listen :9080 --call http://ratings.stock:9080/ratings/{id}
//	bookshop echo --listen :7000
//	bookshop load --url http://storefront:9080/books/1 --count 1000 --workers 4
//	bookshop watch --url http://ratings.stock:9080/ratings/1 --for 5s
//
// Each service answers with its name and version, with the identity that its
// proxy saw on the caller's certificate, and with the answers of the services
// that it called, so that one answer shows the whole way. It knows nothing of
// the mesh: proxies do all of mTLS, naming, policy and routing.
package main
