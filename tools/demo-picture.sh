# For the demos to source: a 1080p photograph at "$out/picture.ppm" unless there is one. Any 8-bit binary PPM will do; this is out of a Debian package.
if [ ! -s "$out/picture.ppm" ]; then
  (cd "$out" && apt-get download -q ukui-wallpapers > /dev/null && dpkg-deb -x ukui-wallpapers_*.deb wallpapers)
  command -v djpeg > /dev/null || apt-get install -y -q --no-install-recommends libjpeg-turbo-progs > /dev/null
  djpeg -pnm -scale 5/8 "$out/wallpapers/usr/share/backgrounds/firstgeneration.jpg" > "$out/picture.ppm"
fi
