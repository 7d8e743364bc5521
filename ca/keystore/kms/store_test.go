package kms_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"go.step.sm/crypto/kms/apiv1"

	"github.com/ensign-mesh/ensign/ca/keystore/kms"
)

func newP256() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// memory is sealed files that are not sealed, and no files.
type memory map[string][]byte

func (m memory) Read(name string) ([]byte, error) {
	if text, ok := m[name]; ok {
		return text, nil
	}
	return nil, fs.ErrNotExist
}
func (m memory) Write(name string, secret []byte) error { m[name] = secret; return nil }
func (memory) ReadKey(string) (crypto.Signer, error)    { return nil, fs.ErrNotExist }
func (memory) EnsureKey(string, func() (crypto.Signer, error)) (crypto.Signer, error) {
	return nil, errors.New("a key was asked for in a file")
}

// cloud names keys by itself, as AWS does.
type cloud struct {
	keys map[string]crypto.Signer
	down bool
}

func (c *cloud) CreateKey(r *apiv1.CreateKeyRequest) (*apiv1.CreateKeyResponse, error) {
	if c.down {
		return nil, errors.New("no route to host")
	}
	key, err := newP256()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("awskms:key-id=%d", len(c.keys))
	c.keys[name] = key
	return &apiv1.CreateKeyResponse{Name: name, PublicKey: key.Public(), CreateSignerRequest: apiv1.CreateSignerRequest{SigningKey: name}}, nil
}

func (c *cloud) CreateSigner(r *apiv1.CreateSignerRequest) (crypto.Signer, error) {
	if key, ok := c.keys[r.SigningKey]; ok && !c.down {
		return key, nil
	}
	return nil, errors.New("no such key")
}

func (c *cloud) GetPublicKey(*apiv1.GetPublicKeyRequest) (crypto.PublicKey, error) {
	return nil, errors.New("keys are not found by name")
}
func (c *cloud) Close() error { return nil }

// TestKeysOfACloudThatNamesThemItself: it is the answer's name that is kept.
func TestKeysOfACloudThatNamesThemItself(t *testing.T) {
	far := &cloud{keys: map[string]crypto.Signer{}}
	apiv1.Register(apiv1.AmazonKMS, func(context.Context, apiv1.Options) (apiv1.KeyManager, error) { return far, nil })
	place, err := kms.Parse("awskms:region=eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	kept := memory{}
	s, err := kms.Open(t.Context(), kms.Config{Place: place, Keys: kept, References: kept})
	if err != nil {
		t.Fatal(err)
	}
	far.down = true
	if _, err := s.EnsureKey("root", nil); !errors.Is(err, kms.ErrUnavailable) {
		t.Errorf("while it is down: %v", err)
	}
	far.down = false
	key, err := s.EnsureKey("root", nil)
	if err != nil || len(far.keys) != 1 {
		t.Fatalf("%d keys, %v", len(far.keys), err)
	}
	sum := make([]byte, 32)
	signature, err := key.Sign(rand.Reader, sum, crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), sum, signature) {
		t.Errorf("signing: %v", err)
	}
	if text := string(kept["kms-root"]); !strings.Contains(text, `"key":"awskms:key-id=0"`) {
		t.Errorf("the reference is %s", text)
	}
}

// TestDamagedReferences are no reason to make another key.
func TestDamagedReferences(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":         "x",
		"no place":         `{"key":"awskms:key-id=0","public":"AAAA"}`,
		"no public key":    `{"place":"awskms:","key":"awskms:key-id=0","public":"AAAA"}`,
		"another language": `[]`,
	} {
		kept := memory{"kms-root": []byte(text)}
		s, err := kms.Open(t.Context(), kms.Config{Keys: kept, References: kept})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadKey("root"); !errors.Is(err, kms.ErrDamaged) {
			t.Errorf("%s: read: %v", name, err)
		}
		if _, err := s.EnsureKey("root", newP256); !errors.Is(err, kms.ErrDamaged) {
			t.Errorf("%s: made: %v", name, err)
		}
	}
}

// TestAPlaceThatIsNotBuiltIn is refused when the store is opened, not later.
func TestAPlaceThatIsNotBuiltIn(t *testing.T) {
	place, err := kms.Parse("azurekms:vault=mesh")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kms.Open(t.Context(), kms.Config{Place: place, Keys: memory{}, References: memory{}}); !errors.Is(err, kms.ErrNotBuilt) {
		t.Errorf("opened: %v", err)
	}
}
