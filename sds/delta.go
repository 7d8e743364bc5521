package sds

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
)

// DeltaSecrets is the delta form of SDS: what Envoy is told to use.
func (s *Server) DeltaSecrets(stream secretv3.SecretDiscoveryService_DeltaSecretsServer) error {
	d := &delta{subscription: s.subscribe(), stream: stream}
	defer s.tracker.close(d.subscription.stream)
	return serve(s, stream, d.take, d.push)
}

type delta struct {
	*subscription
	stream  secretv3.SecretDiscoveryService_DeltaSecretsServer
	unknown []string
	// resumed are the versions that the client brought along from an earlier stream.
	resumed map[string]string
}

func (d *delta) take(request *discoveryv3.DeltaDiscoveryRequest) error {
	if url := request.GetTypeUrl(); url != "" && url != secretType {
		return d.refuse("this socket serves secrets, not %s", url)
	}
	if nonce := request.GetResponseNonce(); nonce != "" {
		d.answered(nonce, request.GetErrorDetail())
	}
	unknown, err := d.add(request.GetResourceNamesSubscribe())
	if err != nil {
		return err
	}
	d.unknown = unknown
	// Asking again for a name means: send it again.
	for _, name := range request.GetResourceNamesSubscribe() {
		delete(d.client, name)
	}
	if versions := request.GetInitialResourceVersions(); len(versions) > 0 {
		d.resumed = versions
	}
	for _, name := range request.GetResourceNamesUnsubscribe() {
		d.drop(name)
	}
	return nil
}

// resume spares what the client still has from an earlier stream: Envoy names
// only versions that it took, so an equal one is as good as an ACK.
func (d *delta) resume(current map[string]secret) {
	for name, version := range d.resumed {
		s, ok := current[name]
		if !ok {
			continue
		}
		if d.names[name] && s.version == version {
			d.client[name] = version
			d.server.tracker.ack(d.subscription.stream, s, "")
		}
		delete(d.resumed, name)
	}
}

func (d *delta) push(current map[string]secret) error {
	d.resume(current)
	due := d.outdated(current)
	if len(due) == 0 && len(d.unknown) == 0 {
		return nil
	}
	nonce, err := d.sent(due)
	if err != nil {
		return err
	}
	response := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: secretType, Nonce: nonce, RemovedResources: d.unknown}
	for _, s := range due {
		response.Resources = append(response.Resources, &discoveryv3.Resource{Name: s.name, Version: s.version, Resource: s.body})
	}
	d.unknown = nil
	return d.stream.Send(response)
}
