package harbour

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// hashPassword returns "pbkdf2$rounds$salt$key".
func (s *Server) hashPassword(password string) (string, error) {
	salt := s.random(16)
	key, err := pbkdf2.Key(sha256.New, password, salt, s.opts.PasswordRounds, 32)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return fmt.Sprintf("pbkdf2$%d$%s$%s", s.opts.PasswordRounds, hex.EncodeToString(salt), hex.EncodeToString(key)), nil
}

func passwordMatches(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 4 {
		return false
	}
	rounds, err := strconv.Atoi(parts[1])
	if err != nil {
		return false
	}
	salt, err := hex.DecodeString(parts[2])
	if err != nil {
		return false
	}
	key, err := pbkdf2.Key(sha256.New, password, salt, rounds, 32)
	return err == nil && subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key)), []byte(parts[3])) == 1
}
