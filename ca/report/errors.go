package report

import "errors"

// ErrInvalid means that a report is not one that an agent writes.
var ErrInvalid = errors.New("report is not valid")

// ErrNotFound means that there is no report of that pod.
var ErrNotFound = errors.New("no report")
