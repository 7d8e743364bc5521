package rotation

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
)

// Config says what a Manager stands on. All fields but Revoked, Every, Visible, Logger
// and Registerer are required.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	Ledger      Ledger
	// Places where roots can live, by their names: [Builtin], [Imported], [Vault].
	Places map[string]Place
	// FirstPlace and First are where the root comes from when there never was one.
	FirstPlace string
	First      First
	// Dir is the data folder, which exists; bundle.pem is written there.
	Dir string
	// Revoked says whether an issuer with this serial (lower-case hex) must not sign; nil:
	// none is revoked.
	Revoked func(serial string) bool
	// Every is how old the signing root may become before a rotation begins by
	// itself; 0: it never does.
	Every time.Duration
	// Visible is for how long the bundle with both roots is shown at least before another
	// root signs: those who look for themselves now and then, as other trust domains do,
	// are in no gate. 0: there are none.
	Visible time.Duration
	// Logger hears of every step. Nil is silence.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

// Ledger is what a Manager asks of the log of everything that was issued.
type Ledger interface {
	ca.Ledger
	// Rotations are all entries of kind rotation, oldest first.
	Rotations(ctx context.Context) ([]ca.Recorded, error)
	// Roots are the entries of all roots that were ever recorded.
	Roots(ctx context.Context) ([]ca.Entry, error)
}

// Mesh is whom a rotation is about.
type Mesh interface {
	// Instances is the whole population, and a channel that closes when it may have
	// changed. It is asked often and should be cheap. With an error no gate passes: so
	// it answers one while the ledger can't be read, or the mesh's picture is not loaded.
	Instances(ctx context.Context) ([]Instance, <-chan struct{}, error)
	// Settle returns once an issuer of [Manager.Signing] signs SVIDs, the server's
	// certificate leads to that root, and what another issuer was signing meanwhile is
	// in the ledger. It is called again after an error and after a crash.
	Settle(ctx context.Context) error
	// RevokeIssuers revokes all live issuers that lead to a root (its fingerprint), and
	// returns once that is in the ledger. It may be called again.
	RevokeIssuers(ctx context.Context, root, reason string) error
}

// validated fills in what may be left out.
func (c Config) validated() (Config, error) {
	if c.TrustDomain.IsZero() || c.Ledger == nil || len(c.Places) == 0 || c.First == nil || c.Dir == "" {
		return Config{}, errors.New("a manager of roots needs a trust domain, a ledger, places, a first root and a data folder")
	}
	if c.Places[c.FirstPlace] == nil {
		return Config{}, errors.New("the place of the first root is not among the places")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
