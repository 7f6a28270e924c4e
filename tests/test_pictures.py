import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from sim.pictures import PicturesError, load


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(path, **options)


def fails(path, message, height=4, width=6, channels=3):
    with pytest.raises(PicturesError) as caught:
        load(path, height, width, channels)
    text = str(caught.value)
    assert re.fullmatch(message, text), text
    assert "\n" not in text


# Folders

def test_folder(tmp_path):
    pictures = {name: noise(4, 6, seed=seed)
                for seed, name in enumerate(["b.png", "a.BMP", "c.ppm", "B.png"])}
    for name, array in pictures.items():
        save(tmp_path / name, array)
    save(tmp_path / ".hidden.png", noise(4, 6))
    (tmp_path / "notes.txt").write_text("not a picture")
    images, labels, names = load(tmp_path, 4, 6, 3)
    assert names == ["B.png", "a.BMP", "b.png", "c.ppm"]
    assert labels is None
    assert images.dtype == np.uint8 and images.shape == (4, 4, 6, 3)
    for image, name in zip(images, names, strict=True):
        assert (image == pictures[name]).all()
    assert (load(str(tmp_path), 4, 6, 3)[0] == images).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "ppm", "gif"])
def test_formats(tmp_path, suffix):
    save(tmp_path / f"a.{suffix}", np.full((5, 5, 3), [250, 120, 10], np.uint8))
    images, _, _ = load(tmp_path, 3, 3, 3)
    assert np.abs(images[0].astype(int) - [250, 120, 10]).max() <= 4


def test_grey(tmp_path):
    save(tmp_path / "colour.png", np.full((2, 2, 3), [255, 0, 0], np.uint8))
    save(tmp_path / "grey.png", np.full((2, 2, 1), 77, np.uint8))
    assert load(tmp_path, 2, 2, 1)[0][:, 0, 0].tolist() == [[76], [77]]     # 0.299 * 255
    assert load(tmp_path, 2, 2, 3)[0][:, 0, 0].tolist() == [[255, 0, 0], [77, 77, 77]]


def test_16_bits_are_scaled(tmp_path):
    Image.fromarray(np.array([[0, 255, 0x8000, 0xffff]], np.uint16)).save(tmp_path / "a.png")
    assert load(tmp_path, 1, 4, 1)[0].ravel().tolist() == [0, 0, 0x80, 0xff]


def test_palette_and_transparency(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "a.png", transparency=bytes([0, 255]))
    assert load(tmp_path, 1, 2, 3)[0].tolist() == [[[[10, 20, 30], [40, 50, 60]]]]


def test_first_frame(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ["white", "black"]]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (load(tmp_path, 2, 2, 3)[0] == 255).all()


def test_wide_is_cropped(tmp_path):
    array = noise(4, 10)
    save(tmp_path / "a.png", array)
    assert (load(tmp_path, 4, 6, 3)[0][0] == array[:, 2:8]).all()


def test_tall_is_cropped(tmp_path):
    array = noise(10, 6)
    save(tmp_path / "a.png", array)
    assert (load(tmp_path, 4, 6, 3)[0][0] == array[3:7]).all()


def test_resize_is_antialiased(tmp_path):
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    save(tmp_path / "a.png", checks[..., np.newaxis].astype(np.uint8))
    image = load(tmp_path, 8, 8, 1)[0].astype(int)
    assert np.abs(image - 127.5).max() < 16         # without it, each would be 0 or 255


def test_resize_covers(tmp_path):
    array = np.zeros((40, 80, 3), np.uint8)
    array[:, 10:70] = 200           # the central square and what the antialiasing sees beside it
    save(tmp_path / "a.png", array)
    assert (load(tmp_path, 4, 4, 3)[0] == 200).all()
    array = np.zeros((7, 1, 3), np.uint8)           # and enlarges
    array[2:5] = 90
    save(tmp_path / "a.png", array)
    assert (load(tmp_path, 5, 5, 3)[0] == 90).all()


def test_subfolders(tmp_path):
    for seed, name in enumerate(["dog/1.png", "cat/2.png", "cat/1.png", "ant/.keep.png"]):
        save(tmp_path / name, noise(4, 6, seed=seed))
    (tmp_path / ".cache").mkdir()
    images, labels, names = load(tmp_path, 4, 6, 3)
    assert names == ["cat/1.png", "cat/2.png", "dog/1.png"]
    assert labels.tolist() == [1, 1, 2] and labels.dtype == np.int64    # the empty "ant" is 0
    assert (images[2] == noise(4, 6)).all()


def test_numeric_subfolders(tmp_path):
    for name in ["2/a.png", "10/a.png"]:
        save(tmp_path / name, noise(4, 6))
    _, labels, names = load(tmp_path, 4, 6, 3)
    assert names == ["10/a.png", "2/a.png"] and labels.tolist() == [10, 2]


@pytest.mark.parametrize("text,expected", [
    ("filename,label\na/b.png,3\nc/d.png,1\n", [3, 1]),
    ("c/d.png, 1\r\n\r\na/b.png,3\r\na/b.png,3\r\n", [3, 1]),
    ("\ufefffilename,label\na/b.png,zebra\nc/d.png,12", [1, 0]),
])
def test_labels(tmp_path, text, expected):
    for name in "a/b.png", "c/d.png":
        save(tmp_path / name, noise(4, 6))
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8", newline="")
    _, labels, names = load(tmp_path, 4, 6, 3)
    assert names == ["a/b.png", "c/d.png"]
    assert labels.tolist() == expected and labels.dtype == np.int64


@pytest.mark.parametrize("text,message", [
    ("a.png,1\n", "has no label for 'b.png'"),
    ("", "has no label for 'a.png'"),
    ("a.png,1\nb.png,1\nc.png,1\n", "names 'c.png', which is not among the pictures"),
    ("a.png,1\nb.png\n", "must have lines of 'filename,label', not 'b.png'"),
    ("a.png,1\nb.png,\n", "must have lines of 'filename,label', not 'b.png,'"),
    ("a.png,1\nb.png,1,2\n", "must have lines of 'filename,label', not 'b.png,1,2'"),
    ("a.png,1\nb.png,2\na.png,2\n", "gives 'a.png' two labels"),
    ("a.png,1\n\"b\nc\",2\n", r"names 'b\nc', which is not among the pictures"),
])
def test_wrong_labels(tmp_path, text, message):
    for name in "a.png", "b.png":
        save(tmp_path / name, noise(4, 6))
    (tmp_path / "labels.csv").write_text(text)
    fails(tmp_path, re.escape(f"{str(tmp_path / 'labels.csv')!r} {message}"))


def test_labels_not_text(tmp_path):
    save(tmp_path / "a.png", noise(4, 6))
    (tmp_path / "labels.csv").write_bytes(b"a.png,\xff\xfe\n")
    fails(tmp_path, r".*labels\.csv' is not a CSV file in UTF-8")


def test_negative_label(tmp_path):
    for name in "-1", "1":
        save(tmp_path / name / "a.png", noise(4, 6))
    fails(tmp_path, ".* must have labels of 0 and up, not -1")


def test_missing(tmp_path):
    fails(tmp_path / "none", re.escape(f"{str(tmp_path / 'none')!r} does not exist"))


def test_empty(tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "a.txt").write_text("")
    fails(tmp_path, r".* has no pictures \(\.bmp, \.gif, \.jpeg, \.jpg, \.pgm, \.png, \.ppm\)")


def test_mixed(tmp_path):
    save(tmp_path / "a.png", noise(4, 6))
    save(tmp_path / "b" / "a.png", noise(4, 6))
    fails(tmp_path, ".* has pictures both in itself and in subfolders")


def test_channels(tmp_path):
    save(tmp_path / "a.png", noise(4, 6))
    fails(tmp_path, ".* holds grey or RGB pictures, but 4 channels are wanted", channels=4)


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "link"])
def test_unreadable(tmp_path, damage):
    save(tmp_path / "a.png", noise(4, 6))
    file = tmp_path / "b.png"
    save(file, noise(40, 60))
    if damage == "link":
        file.unlink()
        file.symlink_to(tmp_path / "nowhere")
    else:
        file.write_bytes({"text": b"hello", "empty": b"", "cut": file.read_bytes()[:3000]}[damage])
    fails(tmp_path, re.escape(f"{str(file)!r} is not a picture that can be read"))


@pytest.mark.parametrize("size,name", [((0, 6, 3), "Height"), ((4, 1.5, 3), "Width"),
                                       ((4, 6, None), "Channels")])
def test_wrong_size(tmp_path, size, name):
    with pytest.raises(TypeError, match=f"^{name} must be a positive integer, not "):
        load(tmp_path, *size)


# Arrays

def test_npz(tmp_path):
    images = noise(5, 24).reshape(5, 4, 6, 3)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([3, 0, 1, 2, 9], np.uint8),
             more=np.zeros(3))
    got, labels, names = load(tmp_path / "a.npz", 4, 6, 3)
    assert got.dtype == np.uint8 and (got == images).all()
    assert labels.dtype == np.int64 and labels.tolist() == [3, 0, 1, 2, 9]
    assert names == ["a.npz[0]", "a.npz[1]", "a.npz[2]", "a.npz[3]", "a.npz[4]"]


@pytest.mark.parametrize("shape", [(2, 4, 6), (2, 4, 6, 1)])
def test_npz_grey(tmp_path, shape):
    images = noise(8, 6, 1).reshape(shape)
    np.savez_compressed(tmp_path / "a.npz", images=images)
    got, labels, _ = load(tmp_path / "a.npz", 4, 6, 1)
    assert labels is None and got.shape == (2, 4, 6, 1)
    assert (got.ravel() == images.ravel()).all()


@pytest.mark.parametrize("arrays,message", [
    ({"x": np.zeros(3)}, "has no array 'images'"),
    ({"images": np.zeros((2, 4, 6, 3))}, "must have images of uint8, not float64"),
    ({"images": np.zeros((2, 4, 6, 3), np.int8)}, "must have images of uint8, not int8"),
    ({"images": np.zeros((2, 6, 4, 3), np.uint8)},
     "must have images of N x 4 x 6 x 3, not 2 x 6 x 4 x 3"),
    ({"images": np.zeros((2, 4, 6), np.uint8)}, "must have images of N x 4 x 6 x 3, not 2 x 4 x 6"),
    ({"images": np.zeros((4, 6, 3), np.uint8)}, "must have images of N x 4 x 6 x 3, not 4 x 6 x 3"),
    ({"images": np.uint8(3)}, "must have images of N x 4 x 6 x 3, not a single number"),
    ({"images": np.zeros((0, 4, 6, 3), np.uint8)}, "has no pictures"),
    ({"labels": np.zeros(2)}, "must have labels that are integers, not float64"),
    ({"labels": np.zeros(2, bool)}, "must have labels that are integers, not bool"),
    ({"labels": np.zeros(3, int)}, "must have 2 labels, one a picture, not 3"),
    ({"labels": np.zeros((2, 1), int)}, "must have 2 labels, one a picture, not 2 x 1"),
    ({"labels": np.int64(2)}, "must have 2 labels, one a picture, not a single number"),
    ({"labels": np.array([0, -2])}, "must have labels of 0 and up, not -2"),
    ({"images": np.array([None])}, "is not an .npz file of plain arrays"),
    ({"labels": np.array(["cat", None])}, "is not an .npz file of plain arrays"),
])
def test_wrong_npz(tmp_path, arrays, message):
    if "labels" in arrays:
        arrays = {"images": np.zeros((2, 4, 6, 3), np.uint8)} | arrays
    np.savez(tmp_path / "a.npz", **arrays)
    fails(tmp_path / "a.npz", re.escape(f"{str(tmp_path / 'a.npz')!r} {message}"))


def test_pickles_are_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "exploded").touch, ()

    np.savez(tmp_path / "a.npz", images=np.array([Bomb()], dtype=object))
    fails(tmp_path / "a.npz", ".* is not an .npz file of plain arrays")
    assert not (tmp_path / "exploded").exists()


def test_broken_npz(tmp_path):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, images=noise(4, 6)[np.newaxis])
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        fails(file, ".* is not an .npz file of plain arrays")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", b"not an array")
    fails(file, ".* is not an .npz file of plain arrays")
    with open(file, "wb") as out:
        np.save(out, noise(4, 6))       # an .npy in disguise
    fails(file, ".* is not an .npz file of plain arrays")


def test_neither(tmp_path):
    save(tmp_path / "a.png", noise(4, 6))
    fails(tmp_path / "a.png", ".* must be a folder of pictures or an .npz file")
