package identity

import (
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// ServiceAccount is a Kubernetes service account of one trust domain: the only
// kind of identity that Ensign issues for.
type ServiceAccount struct {
	TrustDomain spiffeid.TrustDomain
	Namespace   string
	Name        string
}

// NewServiceAccount is the account of that name, or an error that wraps
// [ErrMalformed] if the names cannot be part of a SPIFFE ID: use it wherever the
// names come from outside, since ID panics on such names.
func NewServiceAccount(td spiffeid.TrustDomain, namespace, name string) (ServiceAccount, error) {
	if td.IsZero() {
		return ServiceAccount{}, fmt.Errorf("%w: service account %q/%q without a trust domain", ErrMalformed, namespace, name)
	}
	if _, err := spiffeid.FromSegments(td, "ns", namespace, "sa", name); err != nil {
		return ServiceAccount{}, fmt.Errorf("%w: service account %q/%q: %w", ErrMalformed, namespace, name, err)
	}
	return ServiceAccount{TrustDomain: td, Namespace: namespace, Name: name}, nil
}

// ID is spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/NAME.
func (a ServiceAccount) ID() spiffeid.ID {
	return spiffeid.RequireFromSegments(a.TrustDomain, "ns", a.Namespace, "sa", a.Name)
}

// String is the SPIFFE ID as text, or "none" for the zero value.
func (a ServiceAccount) String() string {
	if a.IsZero() {
		return "none"
	}
	return a.ID().String()
}

// IsZero says whether no account is meant.
func (a ServiceAccount) IsZero() bool { return a == ServiceAccount{} }

// AccountFromID reads a SPIFFE ID of the form that ID writes; any other form is an error.
func AccountFromID(id spiffeid.ID) (ServiceAccount, error) {
	parts := strings.Split(id.Path(), "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" || parts[2] == "" || parts[4] == "" {
		return ServiceAccount{}, fmt.Errorf("%s is not of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT", id)
	}
	return ServiceAccount{TrustDomain: id.TrustDomain(), Namespace: parts[2], Name: parts[4]}, nil
}
