package admin

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/xds"
)

// chunkBytes is how much one message of a page carries.
const chunkBytes = 1 << 20

// GetProxyConfig streams Envoy's own config_dump, or the same shape of what was
// sent. Envoy leaves private keys out of its dump.
func (s *Service) GetProxyConfig(r *ensignv1.GetProxyConfigRequest, stream ensignv1.AdminService_GetProxyConfigServer) error {
	ctx := stream.Context()
	if _, err := s.authorize(ctx); err != nil {
		return err
	}
	out := chunks{stream}
	switch r.Source {
	case ensignv1.GetProxyConfigRequest_ENVOY:
		if err := s.config.Agents.Fetch(ctx, r.Name, ensignv1.EnvoyPage_ENVOY_PAGE_CONFIG_DUMP, out); err != nil {
			return status.Error(codes.Unavailable, err.Error())
		}
		return nil
	case ensignv1.GetProxyConfigRequest_SENT:
		dump, err := s.config.Proxies.Sent(r.Name)
		if errors.Is(err, xds.ErrNotConnected) {
			return status.Errorf(codes.NotFound, "%s: %v: see `ensign proxy status`", r.Name, err)
		}
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(dump)
		if err != nil {
			return status.Error(codes.Internal, fmt.Sprintf("writing what was sent: %v", err))
		}
		_, err = out.Write(text)
		return err
	}
	return status.Error(codes.InvalidArgument, "the source of the configuration is not given")
}

// chunks writes to a stream.
type chunks struct {
	stream ensignv1.AdminService_GetProxyConfigServer
}

func (c chunks) Write(text []byte) (int, error) {
	written := len(text)
	for len(text) > 0 {
		n := min(len(text), chunkBytes)
		if err := c.stream.Send(&ensignv1.GetProxyConfigResponse{Chunk: text[:n]}); err != nil {
			return 0, err
		}
		text = text[n:]
	}
	return written, nil
}
