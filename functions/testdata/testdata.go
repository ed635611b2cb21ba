// Package testdata holds a sample of what AWS sends to each function, named after it: API Gateway's payload 2.0 for endpoints,
// an event source mapping's batch for consumers.
package testdata

import "embed"

// Samples are the files <function>.json.
//
//go:embed *.json
var Samples embed.FS
