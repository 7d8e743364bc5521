package vault

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Auth is one way to a token. It is asked anew with every login, so that files
// which others rotate are read again.
type Auth interface {
	// login is either a token, or the path and body of a request that answers one.
	login() (login, error)
}

// login has a token, or a path and a body, and what to do when Vault does not take it.
type login struct {
	token string
	path  string
	body  map[string]any
	cure  string
}

// authFunc implements Auth.
type authFunc func() (login, error)

func (f authFunc) login() (login, error) { return f() }

// TokenFile takes the token that a file holds, as Vault's agent leaves it there.
func TokenFile(path string) Auth {
	return authFunc(func() (login, error) {
		token, err := readSecret(path)
		return login{token: token, cure: "put another into " + path}, err
	})
}

// AppRole logs in at auth/MOUNT with a role ID and the secret ID in a file.
func AppRole(mount, roleID, secretIDFile string) Auth {
	return authFunc(func() (login, error) {
		secret, err := readSecret(secretIDFile)
		return login{path: "auth/" + mount + "/login", body: map[string]any{"role_id": roleID, "secret_id": secret},
			cure: fmt.Sprintf("the secret ID in %s or its role ID is not good any more: give others; see deploy/vault/README.md", secretIDFile)}, err
	})
}

// JWT logs in at auth/MOUNT under a role, with the JSON Web Token in a file. It
// serves Vault's JWT method, and its Kubernetes method, whose token is the pod's.
func JWT(mount, role, tokenFile string) Auth {
	return authFunc(func() (login, error) {
		token, err := readSecret(tokenFile)
		return login{path: "auth/" + mount + "/login", body: map[string]any{"role": role, "jwt": token},
			cure: fmt.Sprintf("%s has to hold a token of the account, for the audience and within the time that role %s of auth/%s takes; "+
				"where vault gives no reason, its account may be gone or vault may be unable to have it reviewed; see deploy/vault/README.md", tokenFile, role, mount)}, err
	})
}

// maxSecret is the largest secret that a file may hold, in bytes.
const maxSecret = 16 << 10

func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading credentials for vault: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading credentials for vault: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || len(text) > maxSecret || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("reading credentials for vault: %s does not hold one secret of at most %d bytes", path, maxSecret)
	}
	return secret, nil
}
