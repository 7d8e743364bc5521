package authz

import "fmt"

// Error is one part of one policy that could not be read.
type Error struct {
	Namespace, Name string
	// Rule is the index of the rule; -1 for the policy itself.
	Rule int
	// Field is where, e.g. "from.source.principals".
	Field string
	Err   error
}

// Error names the policy, the rule and the field.
func (e *Error) Error() string {
	if e.Rule < 0 {
		return fmt.Sprintf("AuthorizationPolicy %s/%s: %s: %v", e.Namespace, e.Name, e.Field, e.Err)
	}
	return fmt.Sprintf("AuthorizationPolicy %s/%s: rules[%d].%s: %v", e.Namespace, e.Name, e.Rule, e.Field, e.Err)
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }
