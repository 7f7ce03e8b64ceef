package harbour

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	shell "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// The sandbox is a temporary directory with
//
//	labels/standard.txt, express.txt   label templates, which callers may read
//	labels/out/                        rendered labels
//	etc/harbour.conf                   a planted secret, for path traversal and XXE to find
//
// Nothing outside it is ever read, also with all holes open.
const plantedSecret = "HARBOUR-PLANTED-SECRET-7f3a91"

func makeSandbox() (string, error) {
	dir, err := os.MkdirTemp("", "harbour-")
	if err != nil {
		return "", err
	}
	files := map[string]string{
		"labels/standard.txt": "HARBOUR STANDARD\nTO {name}\nCODE {tracking_code}\n",
		"labels/express.txt":  "HARBOUR EXPRESS\nTO {name}\nCODE {tracking_code}\n",
		"labels/out/.keep":    "",
		"etc/harbour.conf":    "db_password = " + plantedSecret + "\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
		if err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// getLabelTemplate returns one of the label templates.
func (s *Server) getLabelTemplate(c *call) error {
	name := c.param("name")
	var (
		text []byte
		err  error
	)
	if s.open("path-traversal-template") {
		// The name is joined to the directory, and "../" leads out of it (as far as the sandbox).
		path := filepath.Join(s.sandbox, "labels", name)
		if !strings.HasPrefix(path, s.sandbox+string(filepath.Separator)) {
			return notFound("template")
		}
		text, err = os.ReadFile(path)
	} else {
		// Fixed: a plain file name, opened below a root that the kernel does not let it leave.
		var k checker
		k.match("name", name, reFileName)
		if err := k.err(); err != nil {
			return err
		}
		text, err = s.readLabelFile(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return notFound("template")
	}
	if err != nil {
		return fmt.Errorf("reading a label template: %w", err)
	}
	return c.send(http.StatusOK, map[string]string{"name": name, "text": string(text)})
}

func (s *Server) readLabelFile(name string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Join(s.sandbox, "labels"))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadFile(name)
}

type labelInput struct {
	FileName string `json:"file_name"`
	Template string `json:"template"`
}

// renderLabel fills a template with a parcel and returns the printer's text.
func (s *Server) renderLabel(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	var in labelInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.oneOf("/template", in.Template, "standard", "express")
	k.text("/file_name", in.FileName, 1, 200)
	if !s.open("cmd-label") {
		k.match("/file_name", in.FileName, reFileName)
	}
	if err := k.err(); err != nil {
		return err
	}
	base, err := s.readLabelFile(in.Template + ".txt")
	if err != nil {
		return fmt.Errorf("reading a label template: %w", err)
	}
	text := fill(string(base), p)
	if s.open("cmd-label") {
		// A shell copies the text to a file whose name the caller chose: ";" ends the name and begins a command.
		cmd := shell.CommandContext(c.ctx(), "sh", "-c", "cat > "+in.FileName+"; cat "+in.FileName)
		cmd.Dir = filepath.Join(s.sandbox, "labels", "out")
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		if err != nil {
			s.log.Warn("label command failed", "request_id", c.id, "error", err)
		}
		text = string(out)
	}
	// Fixed: the text is made here; no file, no shell.
	return c.send(http.StatusOK, map[string]any{"parcel_id": p.ID, "file_name": in.FileName, "text": text})
}

// fill replaces the three placeholders that Harbour knows.
func fill(text string, p parcel) string {
	return strings.NewReplacer("{name}", p.Recipient.Name, "{tracking_code}", p.TrackingCode, "{status}", p.Status).Replace(text)
}

var reTemplate = regexp.MustCompile(`^([^{}\x00-\x1f\x7f]|\{(name|tracking_code|status)\})*$`)

type previewInput struct {
	ParcelID int64  `json:"parcel_id"`
	Template string `json:"template"`
}

// previewMessage shows a customer's own wording of the message to a recipient.
func (s *Server) previewMessage(c *call) error {
	var in previewInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.text("/template", in.Template, 1, 500)
	if !s.open("template-injection") {
		// Fixed: text and three placeholders; no other brace.
		k.match("/template", in.Template, reTemplate)
	}
	if err := k.err(); err != nil {
		return err
	}
	p, err := s.parcelByID(c.ctx(), in.ParcelID)
	if err != nil || !c.who.mayRead(p) {
		return invalid("/parcel_id", "there is no such parcel")
	}
	text := fill(in.Template, p)
	if s.open("template-injection") {
		// The customer's text is run as a program, over data that holds more than the parcel.
		text, err = runTemplate(in.Template, p, s)
		if err != nil {
			return badRequest("The template does not run.", err)
		}
	}
	return c.send(http.StatusOK, map[string]any{"parcel_id": p.ID, "text": text})
}

func runTemplate(text string, p parcel, s *Server) (string, error) {
	t, err := template.New("message").Parse(text)
	if err != nil {
		return "", fmt.Errorf("parsing a message template: %w", err)
	}
	var out strings.Builder
	err = t.Execute(&out, map[string]any{"Parcel": p, "Config": map[string]string{"JWTSecret": string(s.shareSecret), "Database": s.dataSource(), "SMTPPassword": plantedSecret}})
	if err != nil {
		return "", fmt.Errorf("running a message template: %w", err)
	}
	return fill(out.String(), p), nil
}
