package build

// The type URLs of the resources that this package makes.
const (
	typePrefix = "type.googleapis.com/"

	TypeListener    = typePrefix + "envoy.config.listener.v3.Listener"
	TypeRoute       = typePrefix + "envoy.config.route.v3.RouteConfiguration"
	TypeVirtualHost = typePrefix + "envoy.config.route.v3.VirtualHost"
	TypeCluster     = typePrefix + "envoy.config.cluster.v3.Cluster"
	TypeEndpoint    = typePrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	// TypeExtension is ECDS: filters that live outside of their listener.
	TypeExtension = typePrefix + "envoy.config.core.v3.TypedExtensionConfig"
)
