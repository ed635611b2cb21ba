//go:build goccy

package main

import "github.com/goccy/go-json"

const linked = true

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }
