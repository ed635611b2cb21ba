//go:build sonic

package main

import "github.com/bytedance/sonic"

const linked = true

func unmarshal(b []byte, v any) error { return sonic.Unmarshal(b, v) }
