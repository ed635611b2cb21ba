package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A client that is generated from the OpenAPI document compiles, and posts and reads.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("TYPESCRIPT")
	if folder == "" {
		t.Skip("set TYPESCRIPT to the folder shared/proof/program/typescript, after `npm ci` there, to run this with its client")
	}
	s := serve(t, t.TempDir())
	document := filepath.Join(t.TempDir(), "openapi.json")
	require.NoError(t, os.WriteFile(document, []byte(Call(t, "GET", s.URL+"/openapi.json", "").Body), 0o600))
	var out []byte
	for _, line := range [][]string{
		{"npx", "openapi-typescript", document, "-o", "generated/sipeat.d.ts"},
		{"npx", "tsc", "-p", "."},
		{"node", "generated/client.js", s.URL},
	} {
		c := exec.CommandContext(t.Context(), line[0], line[1:]...)
		c.Dir = folder
		var err error
		out, err = c.CombinedOutput()
		require.NoError(t, err, "%v: %s", line, out)
	}
	lines := Lines(string(out))
	require.Len(t, lines, 2, string(out))
	got := Decoded[struct {
		ID     string
		Drinks []string
	}](t, lines[0])
	assert.Equal(t, []string{"Mate"}, got.Drinks)
	assert.Equal(t, "Grace Hopper", s.Readable("/requests", got.ID)["name"])
	assert.Equal(t, []string{"/email"}, Decoded[[]string](t, lines[1]))
}
