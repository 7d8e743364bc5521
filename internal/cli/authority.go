package cli

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// authority is what `ca status` answers, and every other verb of `ca` that does not
// only plan; its keys are stable. Times are RFC 3339 in UTC, "" or absent for none.
type authority struct {
	Now string `json:"now"`
	// Roots are all that there were, oldest first.
	Roots  []rootStatus `json:"roots"`
	Bundle string       `json:"bundle_sha256"`
	Issuer issuerStatus `json:"issuer"`
	// Upstream is the place where the signing root lives.
	Upstream upstreamStatus `json:"upstream"`
	// Rotation is the one that runs, or the last; nil if there never was one.
	Rotation *rotation `json:"rotation,omitempty"`

	// at is Now.
	at time.Time
}

type rootStatus struct {
	Fingerprint string `json:"sha256"`
	Subject     string `json:"subject"`
	// Place is builtin, imported or vault; Name is the root's there.
	Place       string `json:"place"`
	Name        string `json:"name"`
	NotBefore   string `json:"not_before,omitempty"`
	NotAfter    string `json:"not_after,omitempty"`
	Trusted     bool   `json:"trusted"`
	Signing     bool   `json:"signing"`
	Compromised bool   `json:"compromised"`
	LiveSVIDs   uint32 `json:"live_svids"`
	// Problem is why it could not sign now, and what to do; "" too of a root that nobody needs.
	Problem      string `json:"problem,omitempty"`
	ProblemSince string `json:"problem_since,omitempty"`

	ends, unwell time.Time
}

type issuerStatus struct {
	Serial    string `json:"serial,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Root      string `json:"root_sha256,omitempty"`
	NotBefore string `json:"not_before,omitempty"`
	NotAfter  string `json:"not_after,omitempty"`
	ReplaceAt string `json:"replace_at,omitempty"`
	// Problem is why nothing can be issued now.
	Problem string `json:"problem,omitempty"`
	// Introducing is the next issuer, while it waits; nil if none does.
	Introducing *introduction `json:"introducing,omitempty"`

	ends, replace time.Time
}

// introduction is an issuer that signs nothing before the proxies have its CRL, or until then.
type introduction struct {
	Serial  string `json:"serial"`
	Waiting uint32 `json:"waiting"`
	// Laggards are the first of them by name.
	Laggards []string `json:"laggards"`
	Until    string   `json:"until,omitempty"`

	until time.Time
}

type upstreamStatus struct {
	Place string `json:"place"`
	// Problem is why the next issuer could not be certified now.
	Problem           string `json:"problem,omitempty"`
	ProblemSince      string `json:"problem_since,omitempty"`
	CredentialExpires string `json:"credential_expires_at,omitempty"`
	// IssuingUntil is until when can be issued if the place stays away; "": no longer, it
	// signs each SVID itself.
	IssuingUntil string `json:"issuing_until,omitempty"`

	credential, until, unwell time.Time
}

// when is a moment of the wire, which may be unset.
func when(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func authorityOf(a *ensignv1.Authority) authority {
	answer := authority{
		Now: stamp(when(a.GetNow())), Roots: []rootStatus{}, Bundle: a.GetBundle(),
		Issuer: issuerOf(a.GetIssuer()), Upstream: upstreamOf(a.GetUpstream()), at: when(a.GetNow()),
	}
	for _, root := range a.GetRoots() {
		answer.Roots = append(answer.Roots, rootOf(root))
	}
	if a.GetRotation() != nil {
		r := rotationOf(a.GetRotation())
		answer.Rotation = &r
	}
	return answer
}

func rootOf(r *ensignv1.Root) rootStatus {
	return rootStatus{
		Fingerprint: r.GetFingerprint(), Subject: r.GetSubject(), Place: r.GetPlace(), Name: r.GetName(),
		NotBefore: stamp(when(r.GetNotBefore())), NotAfter: stamp(when(r.GetNotAfter())),
		Trusted: r.GetTrusted(), Signing: r.GetSigning(), Compromised: r.GetCompromised(), LiveSVIDs: r.GetLiveSvids(),
		Problem: oneLine(r.GetProblem()), ProblemSince: stamp(when(r.GetProblemSince())),
		ends: when(r.GetNotAfter()), unwell: when(r.GetProblemSince()),
	}
}

func issuerOf(i *ensignv1.IssuerStatus) issuerStatus {
	return issuerStatus{
		Serial: i.GetSerial(), Subject: i.GetSubject(), Root: i.GetRoot(), NotBefore: stamp(when(i.GetNotBefore())),
		NotAfter: stamp(when(i.GetNotAfter())), ReplaceAt: stamp(when(i.GetReplaceAt())), Problem: oneLine(i.GetProblem()),
		Introducing: introductionOf(i.GetIntroduction()),
		ends:        when(i.GetNotAfter()), replace: when(i.GetReplaceAt()),
	}
}

func introductionOf(i *ensignv1.Introduction) *introduction {
	if i == nil {
		return nil
	}
	return &introduction{
		Serial: i.GetSerial(), Waiting: i.GetWaiting(), Laggards: append([]string{}, i.GetLaggards()...),
		Until: stamp(when(i.GetUntil())), until: when(i.GetUntil()),
	}
}

func upstreamOf(u *ensignv1.UpstreamStatus) upstreamStatus {
	return upstreamStatus{
		Place: u.GetPlace(), Problem: oneLine(u.GetProblem()), ProblemSince: stamp(when(u.GetProblemSince())), CredentialExpires: stamp(when(u.GetCredentialExpiresAt())),
		IssuingUntil: stamp(when(u.GetIssuingUntil())), credential: when(u.GetCredentialExpiresAt()), until: when(u.GetIssuingUntil()),
		unwell: when(u.GetProblemSince()),
	}
}
