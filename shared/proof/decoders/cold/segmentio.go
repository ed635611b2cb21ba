//go:build segmentio

package main

import "github.com/segmentio/encoding/json"

const linked = true

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }
