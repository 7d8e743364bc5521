package kms

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/uri"
)

// maxURI is the longest URI that is looked at.
const maxURI = 2048

// Place is where keys are made. The zero Place is sealed files.
type Place struct {
	scheme apiv1.Type
	text   string
}

// settings are what each scheme's URI may say. The keys of a place are named by
// Ensign, and secrets belong into files: everybody on the machine sees a command line.
var settings = map[apiv1.Type][]string{
	apiv1.PKCS11:    {"module-path", "token", "serial", "slot-id", "max-sessions", "pin-source"},
	apiv1.AmazonKMS: {"region", "profile", "credentials-file"},
	apiv1.AzureKMS:  {"vault", "environment", "hsm", "tenant-id", "client-id"},
	apiv1.CloudKMS:  {"credentials-file", "hsm"},
}

// keyRing is where keys of Google's Cloud KMS lie.
var keyRing = regexp.MustCompile(`^projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}$`)

// Parse reads a place: "" or file: for sealed files, pkcs11:…, awskms:…, azurekms:… or
// cloudkms:…. Errors wrap [ErrPlace] and say what to write; nothing is opened.
func Parse(text string) (Place, error) {
	if text == "" || text == "file:" {
		return Place{}, nil
	}
	if len(text) > maxURI {
		return Place{}, fmt.Errorf("%w: a URI of %d bytes, at most %d are allowed", ErrPlace, len(text), maxURI)
	}
	u, err := uri.Parse(text)
	if err != nil {
		// The words of the error quote the text, and a PIN may be in it.
		return Place{}, fmt.Errorf("%w: it is not a URI such as pkcs11:token=ensign?pin-source=/etc/ensign/pin", ErrPlace)
	}
	p := Place{scheme: apiv1.Type(u.Scheme), text: text}
	if err := p.check(u); err != nil {
		return Place{}, fmt.Errorf("%w: %w", ErrPlace, err)
	}
	return p, nil
}

func (p Place) check(u *uri.URI) error {
	allowed, known := settings[p.scheme]
	if !known {
		return fmt.Errorf("%.20q is not known: write file:, pkcs11:, awskms:, azurekms: or cloudkms:", p.scheme)
	}
	said := uri.Values(u)
	if p.scheme == apiv1.CloudKMS {
		if !keyRing.MatchString(u.Opaque) {
			return fmt.Errorf("write cloudkms:projects/PROJECT/locations/LOCATION/keyRings/RING")
		}
		said = u.Query()
	}
	for name := range said {
		switch {
		case name == "pin-value" || name == "pin-prompt" || name == "client-secret":
			return fmt.Errorf("%s would show a secret to everybody who sees the command line: put it into a file that only ensignd can read (pin-source=FILE)", name)
		case name == "id" || name == "object" || name == "name" || name == "key-id":
			return fmt.Errorf("%s names a key: leave it out, ensignd names those that it makes", name)
		case !slices.Contains(allowed, name):
			return fmt.Errorf("%s: knows %s and no %.40q", p.scheme, strings.Join(allowed, ", "), name)
		}
	}
	return p.checkNeeded(u)
}

// checkNeeded is about what may not be left out.
func (p Place) checkNeeded(u *uri.URI) error {
	for _, file := range []string{"module-path", "pin-source", "credentials-file"} {
		if path := u.Get(file); path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("%s %q must be an absolute path", file, path)
		}
	}
	switch p.scheme {
	case apiv1.PKCS11:
		if n := given(u, "token", "serial", "slot-id"); n != 1 {
			return fmt.Errorf("pkcs11: needs one of token, serial and slot-id, and has %d of them", n)
		}
	case apiv1.AzureKMS:
		if given(u, "vault") == 0 {
			return fmt.Errorf("azurekms: needs vault=NAME")
		}
	}
	return nil
}

func given(u *uri.URI, names ...string) (n int) {
	for _, name := range names {
		if u.Get(name) != "" {
			n++
		}
	}
	return n
}

// IsFile says whether keys are sealed in files.
func (p Place) IsFile() bool { return p.scheme == "" }

// String is the URI; no secret is in it.
func (p Place) String() string {
	if p.IsFile() {
		return "file:"
	}
	return p.text
}

// key is the URI of a key that is to be made under a label, which is used once.
func (p Place) key(label string) (string, error) {
	u, err := uri.Parse(p.text)
	if err != nil {
		return "", fmt.Errorf("naming a key: %w", err)
	}
	switch p.scheme {
	case apiv1.PKCS11:
		sum := sha256.Sum256([]byte(label))
		return uri.New(u.Scheme, url.Values{"id": {hex.EncodeToString(sum[:16])}, "object": {label}}).String(), nil
	case apiv1.AzureKMS:
		return uri.New(u.Scheme, url.Values{"vault": {u.Get("vault")}, "name": {label}}).String(), nil
	case apiv1.CloudKMS:
		return uri.NewOpaque(u.Scheme, u.Opaque+"/cryptoKeys/"+label).String(), nil
	}
	return uri.New(u.Scheme, url.Values{"name": {label}}).String(), nil
}

// level is how keys are protected where there is a choice.
func (p Place) level() apiv1.ProtectionLevel {
	if u, err := uri.Parse(p.text); err == nil && u.GetBool("hsm") {
		return apiv1.HSM
	}
	return apiv1.UnspecifiedProtectionLevel
}
