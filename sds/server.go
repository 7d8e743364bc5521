package sds

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Server is Envoy's secret discovery service for one Source. It hands out a
// private key: serve it only where the peer is known to be this workload's Envoy.
type Server struct {
	secretv3.UnimplementedSecretDiscoveryServiceServer
	source  *Source
	tracker *tracker
	metrics *Metrics
	logger  *slog.Logger

	crls *crlHolder

	mu     sync.Mutex // guards all below
	made   map[string]secret
	madeOf ingredients
}

// ingredients are what secrets are made of; each may be missing.
type ingredients struct {
	svid  *SVID
	roots *rootSet
	crls  *crlSet
}

// NewServer makes a Server of the Source's secrets; metrics may be nil.
func NewServer(source *Source, metrics *Metrics, logger *slog.Logger) *Server {
	s := &Server{source: source, tracker: newTracker(), metrics: metrics, logger: logger}
	s.crls = newCRLHolder(s.tracker.follow, metrics, logger)
	return s
}

// Register adds the service to a gRPC server.
func (s *Server) Register(registrar grpc.ServiceRegistrar) {
	secretv3.RegisterSecretDiscoveryServiceServer(registrar, s)
}

// Acknowledged is what Envoy has taken so far, and a channel that is closed when
// that changes.
func (s *Server) Acknowledged() (Acknowledged, <-chan struct{}) { return s.tracker.watch() }

// SetCRLs has Envoy check its peers against these CRLs (DER, one an issuer), or
// against none if there are none. A set that is not usable as a whole, or that
// Envoy refuses, or of which one ends, is left out as a whole and said so in
// [Acknowledged]; certificate and bundle are served all the same.
func (s *Server) SetCRLs(revision uint64, lists [][]byte) {
	s.crls.take(newCRLSet(revision, lists, time.Now()))
}

// offer is what there is to send.
type offer struct {
	// secrets by name: the live SVID, the roots in force; those that there are.
	secrets map[string]secret
	// Closed when there is another SVID, other roots, or other CRLs.
	renewed, rerooted, relisted <-chan struct{}
}

func (s *Server) offer() (offer, error) {
	var of ingredients
	var now offer
	of.svid, now.renewed = s.source.Watch()
	of.roots, now.rerooted = s.source.roots.watch()
	of.crls, now.relisted = s.crls.watch()
	if _, err := s.source.Live(); err != nil {
		of.svid = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil || s.madeOf != of {
		if err := of.crls.contradicted(of.authorities()); err != nil {
			s.crls.drop(of.crls, err)
			of.crls, now.relisted = s.crls.watch()
		}
		made, err := of.secrets()
		if err != nil {
			return now, status.Error(codes.Internal, err.Error())
		}
		s.made, s.madeOf = made, of
	}
	now.secrets = s.made
	return now, nil
}

// authorities are the CAs that are known.
func (i ingredients) authorities() (known []*x509.Certificate) {
	if i.svid != nil {
		known = append(known, i.svid.Chain[1:]...)
	}
	if i.roots != nil {
		known = append(known, i.roots.roots...)
	}
	return known
}

func (i ingredients) secrets() (map[string]secret, error) {
	made := make(map[string]secret, 2)
	if i.svid != nil {
		certificate, err := certificateOf(i.svid)
		if err != nil {
			return nil, err
		}
		made[SecretCertificate] = certificate
	}
	if i.roots != nil {
		roots, err := rootsOf(i.roots, i.crls)
		if err != nil {
			return nil, err
		}
		made[SecretRoots] = roots
	}
	return made, nil
}

// exchange is a stream of either kind, reduced to what differs between them.
type exchange[Request any] interface {
	Recv() (Request, error)
	Context() context.Context
}

// serve runs one stream: requests, new SVIDs, new roots and new CRLs lead to push.
func serve[Request any](s *Server, stream exchange[Request], take func(Request) error, push func(map[string]secret) error) error {
	requests, failed := make(chan Request), make(chan error, 1)
	ctx := stream.Context()
	go receive(ctx, stream, requests, failed)
	for {
		now, err := s.offer()
		if err == nil {
			err = push(now.secrets)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-now.renewed:
		case <-now.rerooted:
		case <-now.relisted:
		case request := <-requests:
			if err := take(request); err != nil {
				return err
			}
		}
	}
}

func receive[Request any](ctx context.Context, stream exchange[Request], requests chan<- Request, failed chan<- error) {
	for {
		request, err := stream.Recv()
		if err != nil {
			failed <- err
			return
		}
		select {
		case requests <- request:
		case <-ctx.Done():
			return
		}
	}
}
