package federation

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// RefreshHint is how often clients are asked to come back. As long as a change of the
// roots is in the document for longer before it matters, they miss none.
const RefreshHint = time.Minute

// document makes the answer anew for each request, for it is small. It implements
// spiffebundle.Source.
type document struct{ current func() *shown }

// newHandler serves the document at /, and nothing else.
func newHandler(td spiffeid.TrustDomain, current func() *shown) (http.Handler, error) {
	inner, err := federation.NewHandler(td, document{current})
	if err != nil {
		return nil, fmt.Errorf("making the bundle's handler: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", inner)
	return mux, nil
}

// GetBundleForTrustDomain implements spiffebundle.Source. The handler asks for no
// other trust domain than ours.
func (d document) GetBundleForTrustDomain(td spiffeid.TrustDomain) (*spiffebundle.Bundle, error) {
	now := d.current()
	bundle := spiffebundle.FromX509Authorities(td, now.roots.Roots())
	bundle.SetSequenceNumber(now.sequence)
	bundle.SetRefreshHint(RefreshHint)
	return bundle, nil
}
