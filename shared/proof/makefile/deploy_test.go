package makefile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asking stands in for `sam deploy`: with --guided it writes its answers to the given file, like the SAM CLI.
const asking = `echo "$@" >>calls
case "$*" in *--guided*) printf '[default.deploy.parameters]\nstack_name = "sipeat"\n' >"$3"
printf 'parameter_overrides = "TableName=\\"sipeat\\" Architecture=\\"%s\\""\n' "$(cat answer)" >>"$3" ;; esac`

func TestDeployBuildsForTheArchitectureOfTheStack(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.stub("stubs/go", `echo "built $GOARCH" >>calls`)
	c.stub("stubs/sam", asking)
	c.write("answer", "x86_64", 0o644)
	built := func(arch string, then ...string) []string {
		return append([]string{"built " + arch, "built " + arch, "built " + arch}, then...)
	}
	const deploy = "deploy --config-file samconfig.local.toml"

	calls, output, err := c.make("deploy", "ARCH=amd64")
	require.NoError(t, err, output)
	assert.Equal(t, built("amd64", deploy+" --guided --parameter-overrides Architecture=x86_64"), calls)

	calls, output, err = c.make("deploy")
	require.NoError(t, err, output)
	assert.Equal(t, built("amd64", deploy), calls)

	calls, output, err = c.make("deploy", "ARCH=arm64")
	require.Error(t, err)
	assert.Contains(t, output, "ARCH=arm64, but samconfig.local.toml says amd64")
	assert.Empty(t, calls)

	calls, output, err = c.make("deploy", "SAM=no-such-sam")
	require.Error(t, err)
	assert.Contains(t, output, "This needs the SAM CLI")
	assert.Empty(t, calls, "it builds nothing")

	kept, err := os.ReadFile(filepath.Join(c.dir, "samconfig.toml"))
	require.NoError(t, err)
	assert.Equal(t, source(t, "samconfig.toml"), string(kept), "the tracked file")
	assert.Contains(t, source(t, ".gitignore"), "\n/samconfig.local.toml\n")
}

// If the user's answer to SAM is another architecture than the one that was built for, the user has to start another
// `make deploy`.
func TestDeployNeverDeploysTwice(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.stub("stubs/go", `true`)
	c.stub("stubs/sam", asking)
	c.write("answer", "x86_64", 0o644)
	calls, output, err := c.make("deploy")
	require.Error(t, err)
	assert.Contains(t, output, "run `make deploy` again")
	assert.Len(t, calls, 1)

	c.stub("stubs/sam", `echo "$@" >>calls; exit 1`)
	calls, output, err = c.make("deploy")
	require.Error(t, err, output)
	assert.Len(t, calls, 1)
}
