// Package alerts holds the Prometheus alerts that a mesh is watched by, and shows with
// Prometheus' own promtool when each fires. There is no code in it.
package alerts
