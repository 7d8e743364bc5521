package ca

import "time"

// SetBack makes the issuer in force look as if the clock had been set back since
// it was made: it starts in the future.
func (s *Service) SetBack(by time.Duration) {
	iss := *s.current.Load()
	cert := *iss.cert
	cert.NotBefore, cert.NotAfter = cert.NotBefore.Add(by), cert.NotAfter.Add(by)
	iss.cert, iss.replaceAt = &cert, iss.replaceAt.Add(by)
	s.current.Store(&iss)
	s.newest.Store(&iss)
}
