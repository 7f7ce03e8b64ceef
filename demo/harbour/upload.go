package harbour

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
)

// maxUpload bounds one file.
const maxUpload = 2 << 20

type upload struct {
	ID          string `json:"id"`
	CustomerID  int64  `json:"customer_id"` // the account that uploaded it
	ParcelID    int64  `json:"parcel_id"`
	Kind        string `json:"kind"`
	FileName    string `json:"file_name"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size"`
	CreatedAt   string `json:"created_at"`
}

const uploadQuery = `SELECT id, customer_id, parcel_id, kind, file_name, content_type, length(data), created_at FROM uploads`

func scanUpload(r scanner) (upload, error) {
	var u upload
	return u, r.Scan(&u.ID, &u.CustomerID, &u.ParcelID, &u.Kind, &u.FileName, &u.ContentType, &u.Size, &u.CreatedAt)
}

func (s *Server) listUploads(c *call) error {
	number, size, err := c.pageParams(maxPage)
	if err != nil {
		return err
	}
	total, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM uploads WHERE customer_id = ?`, c.who.ID)
	if err != nil {
		return err
	}
	items, err := many(c.ctx(), s.db, scanUpload, uploadQuery+` WHERE customer_id = ? ORDER BY created_at, id LIMIT ? OFFSET ?`, c.who.ID, size, (number-1)*size)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, page[upload]{items, number, size, total})
}

var uploadTypes = []string{"image/png", "image/jpeg", "application/pdf"}

// createUpload takes a label or a proof of delivery as multipart/form-data.
func (s *Server) createUpload(c *call) error {
	err := c.contentType("multipart/form-data")
	if err != nil {
		return err
	}
	err = c.r.ParseMultipartForm(maxBody)
	if err != nil {
		return fmt.Errorf("reading the form: %w", badFormOr(err))
	}
	defer func() { _ = c.r.MultipartForm.RemoveAll() }() // temporary files only
	u := upload{ID: s.newUUID(), CustomerID: c.who.ID, Kind: c.r.FormValue("kind"), CreatedAt: stamp(s.now())}
	u.ParcelID, err = strconv.ParseInt(c.r.FormValue("parcel_id"), 10, 32)
	if err != nil {
		return invalid("/parcel_id", "a whole number is needed")
	}
	p, err := s.parcelByID(c.ctx(), u.ParcelID)
	if err != nil || !c.who.mayRead(p) {
		return invalid("/parcel_id", "there is no such parcel")
	}
	file, head, err := c.r.FormFile("file")
	if err != nil {
		return invalid("/file", "a file is needed")
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxUpload+1))
	if err != nil {
		return fmt.Errorf("reading the file: %w", err)
	}
	u.FileName, u.Size = head.Filename, int64(len(data))
	err = s.checkFile(&u, head, data)
	if err != nil {
		return err
	}
	_, err = exec(c.ctx(), s.db, `INSERT INTO uploads (id, customer_id, parcel_id, kind, file_name, content_type, data, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		u.ID, u.CustomerID, u.ParcelID, u.Kind, u.FileName, u.ContentType, data, u.CreatedAt)
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, u)
}

func badFormOr(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return badRequest("The body is not the form that this operation takes.", err)
}

func (s *Server) checkFile(u *upload, head *multipart.FileHeader, data []byte) error {
	if len(data) > maxUpload {
		return problem(http.StatusRequestEntityTooLarge, "too_large", "A file may have 2 MiB.")
	}
	var k checker
	k.oneOf("/kind", u.Kind, "label", "proof_of_delivery", "customs")
	if s.open("upload-unrestricted") {
		// The sender says what the file is, and browsers are told the same later.
		u.ContentType = head.Header.Get("Content-Type")
		return k.err()
	}
	// Fixed: the content says what the file is, and only three kinds are taken.
	u.ContentType = http.DetectContentType(data)
	k.match("/file", u.FileName, reFileName)
	if !slices.Contains(uploadTypes, u.ContentType) {
		k.fault("/file", "a PNG, JPEG or PDF file is needed")
	}
	return k.err()
}

func (s *Server) getUploadContent(c *call) error {
	id, err := c.pathUUID("upload_id")
	if err != nil {
		return err
	}
	u, err := one(c.ctx(), s.db, scanUpload, uploadQuery+` WHERE id = ?`, id)
	if errors.Is(err, errNoRow) {
		return notFound("upload")
	}
	if err != nil {
		return err
	}
	// With missing-auth-upload the route lets everybody in, so there is nobody to compare with.
	if !s.open("missing-auth-upload") {
		p, err := s.parcelByID(c.ctx(), u.ParcelID)
		if err != nil {
			return err
		}
		if u.CustomerID != c.who.ID && !c.who.mayRead(p) {
			return notFound("upload")
		}
	}
	data, err := one(c.ctx(), s.db, func(r scanner) ([]byte, error) {
		var b []byte
		return b, r.Scan(&b)
	}, `SELECT data FROM uploads WHERE id = ?`, id)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", u.ContentType)
	if !s.open("upload-unrestricted") {
		h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", u.FileName))
	}
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(data) // the client is gone if this fails
	return nil
}
