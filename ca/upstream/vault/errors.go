package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"
)

var (
	// ErrSealed: Vault answers, and is sealed or not ready.
	ErrSealed = errors.New("vault is sealed or not ready")
	// ErrDenied: Vault takes the login or the token, or its policy, for not good enough.
	ErrDenied = errors.New("vault denies")
	// ErrUnreachable: no answer, or not a whole one, in time.
	ErrUnreachable = errors.New("vault is not reachable")
	// ErrRefused: Vault answers with an error of another kind.
	ErrRefused = errors.New("vault answers with an error")
	// ErrAnswer: Vault's answer is not what was asked for.
	ErrAnswer = errors.New("vault's answer is refused")
	// ErrOtherRoot: Vault's root is not the one that this mesh trusts.
	ErrOtherRoot = errors.New("vault's root is not this mesh's")
	// ErrNoRotation: there are no credentials to make roots and links with.
	ErrNoRotation = errors.New("there are no credentials for rotations in vault: give ensignd --vault-rotation-auth, whose policy is deploy/vault/rotation.hcl")
	// ErrByHand: the next root can only be made by a person.
	ErrByHand = errors.New("this is to be done by hand")
)

// maxDetail bounds what of Vault's own words goes into an error.
const maxDetail = 500

// cureUnreachable is what to do about [ErrUnreachable].
const cureUnreachable = "start it, or mend the way there (--vault-addr, --vault-ca)"

// errSealedNow is what Vault says of itself.
var errSealedNow = fmt.Errorf("%w: unseal it", ErrSealed)

// explained wraps what the client library says in one of our errors.
func explained(err error) error {
	var answered *api.ResponseError
	switch {
	case err == nil || isExplained(err):
		return err
	case errors.As(err, &answered):
		return fromStatus(answered)
	case errors.Is(err, errTooLarge):
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return fmt.Errorf("%w: no whole answer in time: %w: %s", ErrUnreachable, err, cureUnreachable)
	}
	return fmt.Errorf("%w: %w: %s", ErrUnreachable, err, cureUnreachable)
}

func isExplained(err error) bool {
	for _, known := range []error{ErrSealed, ErrDenied, ErrUnreachable, ErrRefused, ErrAnswer} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func fromStatus(r *api.ResponseError) error {
	detail := strings.Join(strings.Fields(strings.Join(r.Errors, "; ")), " ")
	if len(detail) > maxDetail {
		detail = detail[:maxDetail] + "…"
	}
	switch r.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("%w %s %s (%q)", ErrDenied, r.HTTPMethod, r.URL, detail)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w (%q): unseal it", ErrSealed, detail)
	}
	return fmt.Errorf("%w: %d to %s %s: %q: see its log", ErrRefused, r.StatusCode, r.HTTPMethod, r.URL, detail)
}

// outcome names an error for the counter.
func outcome(err error) string {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return "ok"
}

// outcomes of a request, for metrics. The first that fits counts.
var outcomes = []struct {
	name string
	err  error
}{
	{"ok", errNever}, {"sealed", ErrSealed}, {"denied", ErrDenied}, {"unreachable", ErrUnreachable},
	{"refused", ErrRefused}, {"bad_answer", ErrAnswer}, {"other_root", ErrOtherRoot},
}

var errNever = errors.New("")
