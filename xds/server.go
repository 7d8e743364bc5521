package xds

import (
	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/mesh"
)

// Server is the aggregated discovery service.
type Server struct{ config Config }

// New makes a server that is not ready: it refuses streams until the first Update.
func New(c Config) (*Server, error) {
	c, err := c.validated()
	if err != nil {
		return nil, err
	}
	return &Server{config: c}, nil
}

// Register serves the discovery service on r, which must have been made with
// grpc.ForceServerCodecV2([Codec]()).
func (s *Server) Register(r grpc.ServiceRegistrar) {}

// Ready says whether there was an Update.
func (s *Server) Ready() bool { return false }

// Update makes snap what clients are told. ch says what is not the same in it as
// in the snapshot before; it is ignored at the first call.
func (s *Server) Update(snap *mesh.Snapshot, ch mesh.ChangeSet) {}

// Proxies are the connected clients, sorted by name.
func (s *Server) Proxies() []ProxyStatus { return nil }

// Holds are all holds in force, sorted.
func (s *Server) Holds() []Hold { return nil }

// Release ends the holds of the resources of this name, whatever their type and
// Envoy version, and answers them. Their content is not held again.
func (s *Server) Release(resource string) []Hold { return nil }

// Sent is what the stream of this proxy (NAMESPACE/POD) was last sent, in the
// shape of Envoy's config_dump. ErrNotConnected when there is no such stream.
func (s *Server) Sent(name string) (*adminv3.ConfigDump, error) { return nil, ErrNotConnected }
