package cli

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAFaultInDotenvIsToldWithoutItsSecrets(t *testing.T) {
	for name, c := range map[string]struct{ text, line string }{
		"no name":                         {"KAFKA_BROKERS=127.0.0.1:9092\nKAFKA BROKERS\nAUTH_TOKEN=s3cret\n", "line 2 "},
		"a quote that is not closed":      {"KAFKA_SASL_USERNAME=sipeat\nKAFKA_SASL_PASSWORD=\"s3cret\n", "line 2 "},
		"behind a value of several lines": {"A=\"one\ntwo\"\n\n# why\nKAFKA BROKERS\nAUTH_TOKEN=\"s3cret\"\n", "line 5 "},
		"at its end":                      {"KAFKA_SASL_PASSWORD='s3cret", "line 1 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			require.NoError(t, os.WriteFile(".env", []byte(c.text), 0o600))
			err := loadDotenv()
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.line)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestDotenvYieldsToTheEnvironment(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, loadDotenv(), "none is no fault")
	t.Setenv("SIPEAT_TEST_SET", "environment")
	t.Setenv("SIPEAT_TEST_NEW", "") // so that it is as it was when the test ends
	require.NoError(t, os.Unsetenv("SIPEAT_TEST_NEW"))
	require.NoError(t, os.WriteFile(".env", []byte("SIPEAT_TEST_SET=file\nSIPEAT_TEST_NEW=file\n"), 0o600))
	require.NoError(t, loadDotenv())
	assert.Equal(t, "environment", os.Getenv("SIPEAT_TEST_SET"))
	assert.Equal(t, "file", os.Getenv("SIPEAT_TEST_NEW"))
}
