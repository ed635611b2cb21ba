//go:build std

package main

import "encoding/json"

const linked = true

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }
