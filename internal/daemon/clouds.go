package daemon

// The key management of clouds for --root-key, not verified against a real one. Together
// they make ensignd 6 MB larger. They are here and not in ca/keystore/kms, so that its
// tests are built without them.
import (
	_ "go.step.sm/crypto/kms/awskms"
	_ "go.step.sm/crypto/kms/azurekms"
	_ "go.step.sm/crypto/kms/cloudkms"
)
