package build

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// A client of a headless TCP service picks the server itself, by address, and
// must get that one. So its clusters are cut into one subset an address, and
// each listener IP_PORT asks for its own.
const (
	subsetMetadata = "envoy.lb"
	addressKey     = "address"
)

func (t target) headless() bool {
	return len(t.service.Addresses) == 0 && !t.port.Protocol.IsHTTP()
}

// byAddress lets listeners ask for one address; who does not ask gets any.
func byAddress(c *clusterv3.Cluster) {
	c.LbSubsetConfig = &clusterv3.Cluster_LbSubsetConfig{
		FallbackPolicy: clusterv3.Cluster_LbSubsetConfig_ANY_ENDPOINT,
		SubsetSelectors: []*clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector{{
			Keys: []string{addressKey}, FallbackPolicy: clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_NO_FALLBACK,
		}},
	}
}

func addressMetadata(address string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{addressKey: structpb.NewStringValue(address)}}
}
