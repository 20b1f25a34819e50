; SPDX-License-Identifier: LGPL-3.0-or-later
; Colorizes a folder of photographs:
;
;     (script-fu-colorize-photos "scans/*.tif" "out" "png" 1.0)
;
; photographs: a pattern with * and ? in the file's name, or a folder (all pictures in it). results: a
; folder, made if it is missing. format: png, tif, jpg or webp. strength: 0 to 2.
;
; A photograph that fails does not stop the others. A result that is there already is kept and its photograph
; skipped, so that no picture is ever overwritten and the same call goes on where it was stopped. In the results'
; folder are then colorize-photos.log (a line for each photograph, with the reason where it failed) and
; colorize-photos.status, written last: "done 12 failed 1 skipped 0". Returns that line.
;
; (GIMP 2.10 translates scripts with its own catalogue only, so that these texts are English.)

(define colorize-photos-formats '("png" "tif" "jpg" "webp"))

; What a folder's files are taken for pictures by.
(define colorize-photos-endings
  '("jpg" "jpeg" "png" "tif" "tiff" "webp" "bmp" "gif" "psd" "xcf" "jp2" "heic" "pnm" "pgm" "ppm" "tga"))

(define colorize-photos-error "") ; why the last step failed

; A handler is not told what was thrown.
(define (colorize-photos-stop words)
  (set! colorize-photos-error words)
  (throw (string-append "Colorize Photos: " words)))

; ---- names -----------------------------------------------------------------------------------------

(define (colorize-photos-last-index text character)
  (let loop ((i (- (string-length text) 1)))
    (cond ((< i 0) -1)
          ((char=? (string-ref text i) character) i)
          (else (loop (- i 1))))))

(define (colorize-photos-base path)
  (substring path (+ 1 (colorize-photos-last-index path #\/)) (string-length path)))

(define (colorize-photos-ending path)
  (let* ((base (colorize-photos-base path)) (dot (colorize-photos-last-index base #\.)))
    (if (< dot 1) "" (list->string (map char-downcase (string->list
                                                        (substring base (+ dot 1) (string-length base))))))))

(define (colorize-photos-stem path)
  (let* ((base (colorize-photos-base path)) (dot (colorize-photos-last-index base #\.)))
    (if (< dot 1) base (substring base 0 dot))))

(define (colorize-photos-folder? path)
  (= (file-type path) FILE-TYPE-DIR))

; a.tif and a.jpg in one run become a.png and a.jpg.png.
(define (colorize-photos-target path results format taken)
  (let ((plain (string-append results "/" (colorize-photos-stem path) "." format)))
    (if (member plain taken)
        (string-append results "/" (colorize-photos-base path) "." format)
        plain)))

; ---- files -----------------------------------------------------------------------------------------

(define (colorize-photos-keep? path by-ending)
  (and (not (colorize-photos-folder? path))
       (or (not by-ending) (member (colorize-photos-ending path) colorize-photos-endings))))

(define (colorize-photos-filter paths by-ending)
  (cond ((null? paths) '())
        ((colorize-photos-keep? (car paths) by-ending)
         (cons (car paths) (colorize-photos-filter (cdr paths) by-ending)))
        (else (colorize-photos-filter (cdr paths) by-ending))))

(define (colorize-photos-merge a b)
  (cond ((null? a) b)
        ((null? b) a)
        ((string<? (car b) (car a)) (cons (car b) (colorize-photos-merge a (cdr b))))
        (else (cons (car a) (colorize-photos-merge (cdr a) b)))))

; Halves by every second one, so that a thousand names take no time.
(define (colorize-photos-sort paths)
  (let loop ((left paths) (a '()) (b '()))
    (cond ((pair? left) (loop (cdr left) (cons (car left) b) a))
          ((null? a) b)
          ((null? b) a)
          (else (colorize-photos-merge (colorize-photos-sort a) (colorize-photos-sort b))))))

(define (colorize-photos-list photographs)
  (let* ((folder (and (file-exists? photographs) (colorize-photos-folder? photographs)))
         (pattern (if folder (string-append photographs "/*") photographs)))
    (colorize-photos-sort (colorize-photos-filter (cadr (file-glob pattern TRUE)) folder))))

(define (colorize-photos-write path text)
  (let ((port (open-output-file path)))
    (if (not port) (colorize-photos-stop (string-append "cannot write " path)))
    (display text port)
    (close-output-port port)))

(define (colorize-photos-append path text)
  (let ((port (open-input-output-file path)))
    (if (not port) (colorize-photos-stop (string-append "cannot write " path)))
    (display text port)
    (newline port)
    (close-port port)))

; ---- one photograph --------------------------------------------------------------------------------

; In one line: the log has a line for each photograph.
(define (colorize-photos-reason words)
  (let ((text (if (and (pair? words) (string? (car words))) (car words) "unknown error")))
    (list->string (map (lambda (c) (if (char=? c #\newline) #\space c)) (string->list text)))))

; (work) or, after an error, #f with the words in colorize-photos-error.
(define (colorize-photos-try work)
  (let ((hook *error-hook*) (result #f))
    (set! *error-hook* (lambda words
                         (set! colorize-photos-error (colorize-photos-reason words))
                         (throw "colorize-photos")))
    (set! result (catch #f (work) #t))
    (set! *error-hook* hook)
    result))

(define (colorize-photos-save format image layer path)
  (cond ((string=? format "png")
         (file-png-save RUN-NONINTERACTIVE image layer path path 0 6 0 0 0 1 1))
        ((string=? format "tif")
         (file-tiff-save RUN-NONINTERACTIVE image layer path path 1))
        ((string=? format "jpg")
         (file-jpeg-save RUN-NONINTERACTIVE image layer path path 0.95 0 1 0 "" 2 1 0 0))
        (else
         (file-webp-save RUN-NONINTERACTIVE image layer path path 5 0 95 100 0 0 0 0 1 1 1 0 0))))

; In place: only so is the lightness kept at the photograph's own precision and under its own profile.
(define (colorize-photos-colorize image strength)
  (gimp-image-undo-disable image)
  (if (> (car (gimp-image-get-layers image)) 1)
      (gimp-image-merge-visible-layers image CLIP-TO-IMAGE))
  (let ((layer (aref (cadr (gimp-image-get-layers image)) 0)))
    (plug-in-colorize-photo RUN-NONINTERACTIVE image layer strength 0.0 1 -1 0.5 0 0 "auto" "")
    layer))

; The mark beside a result tells a run that was killed while it wrote.
(define (colorize-photos-one path target format strength)
  (let* ((image -1)
         (mark (string-append target ".incomplete"))
         (good (colorize-photos-try
                 (lambda ()
                   (set! image (car (gimp-file-load RUN-NONINTERACTIVE path path)))
                   (let ((layer (colorize-photos-colorize image strength)))
                     (colorize-photos-write mark "")
                     (colorize-photos-save format image layer target)
                     (file-delete mark))))))
    (if (and (>= image 0) (= TRUE (car (gimp-image-is-valid image))))
        (gimp-image-delete image))
    (if (and (not good) (file-exists? mark))
        (begin (file-delete target) (file-delete mark)))
    good))

(define (colorize-photos-there? target)
  (and (file-exists? target) (not (file-exists? (string-append target ".incomplete")))))

; ---- all -------------------------------------------------------------------------------------------

(define (colorize-photos-summary counts)
  (string-append "done " (number->string (car counts)) " failed " (number->string (cadr counts))
                 " skipped " (number->string (caddr counts))))

(define (colorize-photos-run paths results format strength log)
  (let loop ((left paths) (taken '()) (done 0) (failed 0) (skipped 0))
    (if (null? left)
        (list done failed skipped)
        (let* ((path (car left))
               (target (colorize-photos-target path results format taken))
               (all (cons target taken)))
          (gimp-progress-set-text (string-append "Colorizing " (colorize-photos-base path)))
          (gimp-progress-update (/ (length taken) (length paths)))
          (cond ((colorize-photos-there? target)
                 (colorize-photos-append log (string-append "skipped " path ": " target " is there already"))
                 (loop (cdr left) all done failed (+ skipped 1)))
                ((colorize-photos-one path target format strength)
                 (colorize-photos-append log (string-append "done " path " -> " target))
                 (loop (cdr left) all (+ done 1) failed skipped))
                (else
                 (colorize-photos-append log (string-append "failed " path ": " colorize-photos-error))
                 (loop (cdr left) all done (+ failed 1) skipped)))))))

(define (script-fu-colorize-photos photographs results format strength)
  (let* ((format (if (number? format) (list-ref colorize-photos-formats format) format))
         (log (string-append results "/colorize-photos.log"))
         (status (string-append results "/colorize-photos.status"))
         (paths (colorize-photos-list photographs)))
    (if (not (member format colorize-photos-formats))
        (colorize-photos-stop (string-append "the format is \"" format "\", possible are png, tif, jpg and webp")))
    (if (or (< strength 0) (> strength 2))
        (colorize-photos-stop "the strength has to be from 0 to 2"))
    (if (null? paths)
        (colorize-photos-stop (string-append "there is no photograph \"" photographs "\"")))
    (if (not (or (file-exists? results) (dir-make results)))
        (colorize-photos-stop (string-append "the folder \"" results "\" cannot be made")))
    (if (file-exists? status) (file-delete status))
    (colorize-photos-append log (string-append "begin " (number->string (length paths)) " photographs"))
    (gimp-progress-init "Colorizing photographs" -1)
    (let* ((counts (colorize-photos-run paths results format strength log))
           (summary (colorize-photos-summary counts)))
      (colorize-photos-append log (string-append "end " summary))
      (colorize-photos-write status (string-append summary "\n"))
      (gimp-progress-end)
      (gimp-message (string-append "Colorize Photos: " summary
                                   (if (> (cadr counts) 0) (string-append ". The reasons are in " log ".") ".")))
      summary)))

(script-fu-register "script-fu-colorize-photos"
  "Colorize P_hotos..."
  "Color a folder of black-and-white photographs; the results go to another folder, nothing is overwritten"
  "The Colorize authors" "LGPL-3.0-or-later" "2026" ""
  SF-DIRNAME "Photographs" ""
  SF-DIRNAME "Results" ""
  SF-OPTION "Format" '("PNG" "TIFF" "JPEG" "WebP")
  SF-ADJUSTMENT "Strength" '(1 0 2 0.05 0.25 2 SF-SLIDER))

(script-fu-menu-register "script-fu-colorize-photos" "<Image>/File/Create")
