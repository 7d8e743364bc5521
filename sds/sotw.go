package sds

import (
	"strings"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
)

// StreamSecrets is the state-of-the-world form of SDS: each answer holds every
// secret that the client asks for.
func (s *Server) StreamSecrets(stream secretv3.SecretDiscoveryService_StreamSecretsServer) error {
	w := &world{subscription: s.subscribe(), stream: stream}
	defer s.tracker.close(w.subscription.stream)
	return serve(s, stream, w.take, w.push)
}

type world struct {
	*subscription
	stream secretv3.SecretDiscoveryService_StreamSecretsServer
}

func (w *world) take(request *discoveryv3.DiscoveryRequest) error {
	if url := request.GetTypeUrl(); url != "" && url != secretType {
		return w.refuse("this socket serves secrets, not %s", url)
	}
	if nonce := request.GetResponseNonce(); nonce != "" && w.answered(nonce, request.GetErrorDetail()) {
		return nil
	}
	before := w.names
	w.names = make(map[string]bool, 2)
	if _, err := w.add(request.GetResourceNames()); err != nil {
		return err
	}
	// A name that is new, or comes back, makes its secret due.
	for _, name := range []string{SecretCertificate, SecretRoots} {
		if !before[name] {
			delete(w.client, name)
		}
		if !w.names[name] {
			w.drop(name)
		}
	}
	return nil
}

func (w *world) push(current map[string]secret) error {
	if len(w.outdated(current)) == 0 {
		return nil
	}
	var all []secret
	response := &discoveryv3.DiscoveryResponse{TypeUrl: secretType}
	var versions []string
	for _, name := range []string{SecretCertificate, SecretRoots} {
		if s, ok := current[name]; ok && w.names[name] {
			all = append(all, s)
			versions = append(versions, s.version)
			response.Resources = append(response.Resources, s.body)
		}
	}
	nonce, err := w.sent(all)
	if err != nil {
		return err
	}
	response.Nonce, response.VersionInfo = nonce, strings.Join(versions, "+")
	return w.stream.Send(response)
}
