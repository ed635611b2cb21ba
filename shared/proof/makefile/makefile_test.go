// Package makefile tests the recipes of the Makefile, with stubs in place of the tools that they call.
package makefile

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func source(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../..", filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

// checkout is a folder with the project's Makefile. Stubs of tools append a line per call to the file `calls`.
type checkout struct {
	t   *testing.T
	dir string
	env []string
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("this test needs make")
	}
	c := &checkout{t: t, dir: t.TempDir()}
	for _, name := range []string{"Makefile", "go.mod", "samconfig.toml"} {
		c.write(name, source(t, name), 0o644)
	}
	c.env = append(os.Environ(), "PATH="+filepath.Join(c.dir, "stubs")+":"+os.Getenv("PATH"),
		"XDG_CACHE_HOME="+filepath.Join(c.dir, "cache"), "GOTOOLCHAIN=local")
	return c
}

func (c *checkout) write(name, text string, mode os.FileMode) {
	path := filepath.Join(c.dir, filepath.FromSlash(name))
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(text), mode))
}

// stub makes a shell script that stands in for a tool.
func (c *checkout) stub(name, script string) {
	c.write(name, "#!/bin/sh\n"+script+"\n", 0o755)
}

// make returns the calls that the stubs recorded, and the output.
func (c *checkout) make(arguments ...string) (calls []string, output string, err error) {
	_ = os.Remove(filepath.Join(c.dir, "calls"))
	command := exec.Command("make", arguments...)
	command.Dir, command.Env = c.dir, c.env
	printed, err := command.CombinedOutput()
	noted, _ := os.ReadFile(filepath.Join(c.dir, "calls"))
	return strings.FieldsFunc(string(noted), func(r rune) bool { return r == '\n' }), string(printed), err
}

func toolchain(t *testing.T) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^toolchain (go1\.\d+\.\d+)$`).FindStringSubmatch(source(t, "go.mod"))
	require.NotNil(t, line, "go.mod has no toolchain line")
	return line[1]
}

// Binaries contain the standard library of the release in go.mod, also with GOTOOLCHAIN=local in the environment.
func TestBinariesAreBuiltWithTheToolchainOfGoMod(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.stub("stubs/go", `echo "$GOTOOLCHAIN $1" >>calls`)
	calls, output, err := c.make("build", "worker-build")
	require.NoError(t, err, output)
	assert.Equal(t, strings.Split(strings.Repeat(toolchain(t)+" build,", 4), ",")[:4], calls)

	calls, output, err = c.make("build", "GOTOOLCHAIN=local")
	require.NoError(t, err, output)
	assert.Equal(t, []string{"local build", "local build", "local build"}, calls)
}

// Without vuln.go.dev the database comes from the module proxy; a finding fails at once.
func TestVulnerabilitiesAreCheckedWithoutVulnGoDev(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	tools := "cache/sipeat-tools/" + toolchain(t) + "/"
	c.write("vulndb@v1/data/osv/GO-1.json", "{}", 0o644)
	c.stub("stubs/go", `echo go "$1 $2" >>calls
case $1 in
mod) echo "{"; echo "	\"Dir\": \"$PWD/vulndb@v1\","; echo "	\"Sum\": \"x\""; echo "}" ;;
build) printf '#!/bin/sh\nmkdir "$4"\n' >"$3"; chmod +x "$3" ;;
esac`)
	for status, want := range map[string][]string{
		"0": {"govulncheck ./..."},
		"3": {"govulncheck ./..."},
		"1": {"govulncheck ./...", "go mod download", "govulncheck -db file://" + c.dir + "/" + tools + "vulndb-v1 ./..."},
	} {
		c.stub(tools+"govulncheck-v1.9.0", `echo "govulncheck $@" >>calls; test "$1" = -db || exit `+status)
		calls, output, err := c.make("vuln")
		assert.Equal(t, want, calls, "%s: %s", status, output)
		assert.Equal(t, status != "3", err == nil, "%s: %s", status, output)
	}
	c.stub(tools+"govulncheck-v1.9.0", `test "$1" = -db && exit 3; exit 1`)
	_, output, err := c.make("vuln")
	require.Error(t, err, "findings of the module's database: %s", output)
}
