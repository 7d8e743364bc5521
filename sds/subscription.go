package sds

import (
	"slices"
	"strconv"
	"strings"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits on one stream. Envoy asks for one secret a stream.
const (
	maxNames    = 16
	maxNameSize = 256
	// Answers that wait for their ACK; more means that the client ignores them.
	maxUnanswered = 16
	// Refusal texts are kept and reported up to this size.
	maxReason = 1024
)

// subscription is the state of one stream, owned by the goroutine that serves it.
type subscription struct {
	server *Server
	stream uint64
	names  map[string]bool
	// client is the version that the client has or was sent, by name.
	client map[string]string
	// waiting are answers without an ACK or NACK so far, oldest first.
	waiting []answer
	nonces  int
}

type answer struct {
	nonce   string
	secrets []secret
}

func (s *Server) subscribe() *subscription {
	return &subscription{server: s, stream: s.tracker.open(), names: map[string]bool{}, client: map[string]string{}}
}

// add subscribes to names; unknown ones are returned, counted and not kept.
func (b *subscription) add(names []string) (unknown []string, err error) {
	for _, name := range names {
		if len(name) > maxNameSize {
			return nil, b.refuse("a secret's name has %d bytes, at most %d are allowed", len(name), maxNameSize)
		}
		if name != SecretCertificate && name != SecretRoots {
			unknown = append(unknown, name)
			continue
		}
		b.names[name] = true
	}
	if len(unknown) > maxNames {
		return nil, b.refuse("%d unknown secrets in a request, at most %d are allowed", len(unknown), maxNames)
	}
	b.server.metrics.event("unknown_name", len(unknown))
	return unknown, nil
}

// answered takes the ACK or NACK of the answer that nonce names; a nonce that is
// not waiting is stale and says nothing.
func (b *subscription) answered(nonce string, refusal *rpcstatus.Status) (stale bool) {
	i := slices.IndexFunc(b.waiting, func(a answer) bool { return a.nonce == nonce })
	if i < 0 {
		return true
	}
	for _, s := range b.waiting[i].secrets {
		b.settle(s, nonce, refusal)
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return false
}

func (b *subscription) settle(s secret, nonce string, refusal *rpcstatus.Status) {
	if refusal == nil {
		b.server.metrics.event("ack", 1)
		b.server.tracker.ack(b.stream, s, nonce)
		return
	}
	reason := cutText(refusal.GetMessage())
	b.server.metrics.event("nack", 1)
	b.server.logger.Error("envoy refused a secret and keeps its last one", "secret", s.name, "version", s.version, "reason", reason)
	b.server.tracker.nack(b.stream, s, nonce, reason)
	if s.name == SecretRoots {
		b.server.crls.refused(s.crls, reason)
	}
}

// cutText keeps what fits a report of a text of any length.
func cutText(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// drop ends the subscription of a name.
func (b *subscription) drop(name string) {
	delete(b.names, name)
	delete(b.client, name)
	b.server.tracker.drop(b.stream, name)
}

// outdated are the subscribed secrets that the client does not have, by name. Of the
// others the tracker hears: by another Trust they may be the same.
func (b *subscription) outdated(current map[string]secret) []secret {
	var due []secret
	for _, name := range []string{SecretCertificate, SecretRoots} {
		s, ok := current[name]
		switch {
		case !ok || !b.names[name]:
		case b.client[name] != s.version:
			due = append(due, s)
		default:
			b.server.tracker.offered(b.stream, s)
		}
	}
	return due
}

// sent notes an answer and gives it a nonce.
func (b *subscription) sent(secrets []secret) (string, error) {
	if len(b.waiting) == maxUnanswered {
		return "", b.refuse("%d answers without ACK or NACK", len(b.waiting))
	}
	b.nonces++
	a := answer{nonce: strconv.Itoa(b.nonces), secrets: secrets}
	b.waiting = append(b.waiting, a)
	for _, s := range secrets {
		b.client[s.name] = s.version
		b.server.tracker.sent(b.stream, s, a.nonce)
	}
	b.server.metrics.event("sent", len(secrets))
	return a.nonce, nil
}

func (b *subscription) refuse(format string, values ...any) error {
	b.server.metrics.event("refused", 1)
	return status.Errorf(codes.InvalidArgument, format, values...)
}
