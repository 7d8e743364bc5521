package revocation

import (
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

const (
	maxSerial = 40   // hex digits: 20 octets (RFC 5280 §4.1.2.2)
	maxValue  = 2048 // bytes of a SPIFFE ID, the longest value (SPIFFE-ID §2.3)
	maxName   = 253  // bytes of the name of a namespace, a pod or an account
)

// ParseTarget reads who is meant from what a person or the ledger wrote. Serials may be
// upper case, have leading zeros, and colons between bytes, as openssl prints them;
// all other values have one spelling. Errors wrap [ErrInvalid].
func ParseTarget(td spiffeid.TrustDomain, kind, value string) (Target, error) {
	if len(value) > maxValue {
		return Target{}, fmt.Errorf("%w: a target of %d bytes, at most %d are allowed", ErrInvalid, len(value), maxValue)
	}
	t := Target{Kind: Kind(kind), Value: value}
	var err error
	switch t.Kind {
	case Serial, IssuerSerial:
		t.Value, err = parseSerial(value)
	case ID:
		err = checkID(td, value)
	case Pod, ServiceAccount:
		err = checkName(td, value)
	default:
		err = fmt.Errorf("%w: %.40q is no kind of target: give serial, id, pod, serviceaccount or issuer", ErrInvalid, kind)
	}
	if err != nil {
		return Target{}, err
	}
	return t, nil
}

// parseSerial answers the form of the ledger: lower-case hex without leading zeros.
func parseSerial(value string) (string, error) {
	digits := value
	if strings.Contains(value, ":") {
		for octet := range strings.SplitSeq(value, ":") {
			if len(octet) != 2 {
				return "", fmt.Errorf("%w: serial %.100q has colons elsewhere than between bytes", ErrInvalid, value)
			}
		}
		digits = strings.ReplaceAll(value, ":", "")
	}
	digits = strings.TrimLeft(strings.ToLower(digits), "0")
	if digits == "" || len(digits) > maxSerial || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: serial %.100q is not 1 to %d digits of hex that are not all 0", ErrInvalid, value, maxSerial)
	}
	return digits, nil
}

func checkID(td spiffeid.TrustDomain, value string) error {
	id, err := spiffeid.FromString(value)
	if err != nil {
		return fmt.Errorf("%w: SPIFFE ID %.300q: %w", ErrInvalid, value, err)
	}
	if !id.MemberOf(td) {
		return fmt.Errorf("%w: %.300s is of another trust domain than this one, %s", ErrInvalid, value, td.Name())
	}
	account, err := identity.AccountFromID(id)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return checkNames(td, account.Namespace, account.Name)
}

func checkName(td spiffeid.TrustDomain, value string) error {
	namespace, name, ok := strings.Cut(value, "/")
	if !ok {
		return fmt.Errorf("%w: %.300q is not of the form NAMESPACE/NAME", ErrInvalid, value)
	}
	return checkNames(td, namespace, name)
}

// checkNames takes what can be part of a SPIFFE ID: pods have names as accounts do.
func checkNames(td spiffeid.TrustDomain, namespace, name string) error {
	if _, err := identity.NewServiceAccount(td, namespace, name); err != nil {
		return fmt.Errorf("%w: %.100q/%.300q cannot be NAMESPACE/NAME: %w", ErrInvalid, namespace, name, err)
	}
	if len(namespace) > maxName || len(name) > maxName {
		return fmt.Errorf("%w: a name is longer than %d bytes", ErrInvalid, maxName)
	}
	return nil
}

// account is the SPIFFE ID that a target of kind ID or ServiceAccount spells; "" for
// the other kinds.
func (t Target) account(td spiffeid.TrustDomain) string {
	switch t.Kind {
	case ID:
		return t.Value
	case ServiceAccount:
		namespace, name, _ := strings.Cut(t.Value, "/")
		return identity.ServiceAccount{TrustDomain: td, Namespace: namespace, Name: name}.String()
	}
	return ""
}
