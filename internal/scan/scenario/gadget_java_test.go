package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/listener"
)

const readsObject = `import java.io.*; import java.util.*;
public class R { public static void main(String[] a) throws Exception {
	new ObjectInputStream(new ByteArrayInputStream(Base64.getDecoder().decode(a[0]))).readObject();
	System.exit(0);
} }`

// A real Java program that reads the object calls the listener, and names the address.
func TestJavaGadget(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("java is not installed")
		}
		t.Skip("NOT TESTED: java is not installed")
	}
	l, err := listener.Start("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	source := filepath.Join(t.TempDir(), "R.java")
	if err := os.WriteFile(source, []byte(readsObject), 0o600); err != nil {
		t.Fatal(err)
	}
	called, other := l.Address(), l.Address()
	v, err := Call("gadget.java", map[string]string{"url": called})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(java, source, Plain(v)).CombinedOutput()
	if !l.Called(t.Context(), called, 5*time.Second) {
		t.Fatalf("nobody called: %v %s", err, out)
	}
	if hits := l.Hits(called); hits[0].Method != "JRMP" || len(l.Hits(other)) != 0 {
		t.Errorf("hits %+v", hits)
	}
}
